"""Endpoints against a real apiserver; the test plays the kubelet."""

import time

from apimachinery import errors, meta
from apimachinery.types.core_v1 import EndpointAddress, Endpoints, EndpointSubset, Pod, Service
from apimachinery.types.meta_v1 import ObjectMeta
from kube_client import Client
from tests.integration.daemon_process import DaemonProcess
from tests.objects import make_pod, make_service
from tests.support import eventually


async def run_pod(client: Client, name: str, ip: str, ready: bool = True) -> Pod:
    pods = client.resource(Pod)
    await pods.create(make_pod(name, labels={"app": "web"}, node="n1"))
    status = make_pod(name, ip=ip, ready=ready).status
    return await pods.patch(name, {"status": status}, namespace="default", subresource="status")


async def addresses(client: Client) -> tuple[list[str], list[str]]:
    """Ready and not ready ones."""
    try:
        endpoints = await client.resource(Endpoints).get("web", namespace="default")
    except errors.NotFound:
        return [], []
    subsets = endpoints.subsets or []
    return (
        [address.ip for subset in subsets for address in subset.addresses or ()],
        [address.ip for subset in subsets for address in subset.not_ready_addresses or ()],
    )


async def become(client: Client, ready: list[str], not_ready: list[str]) -> None:
    async def same() -> bool:
        assert await addresses(client) == (ready, not_ready)
        return True

    await eventually(same, interval=0.005)


async def test_addresses_follow_readiness_deletion_and_labels(
    client: Client, controller_manager: DaemonProcess
) -> None:
    await client.resource(Service).create(make_service("web", selector={"app": "web"}))
    await run_pod(client, "a", "10.128.0.2")
    await run_pod(client, "b", "10.128.0.3", ready=False)
    await become(client, ["10.128.0.2"], ["10.128.0.3"])
    pods = client.resource(Pod)
    await pods.patch("b", {"status": make_pod(ready=True).status}, namespace="default", subresource="status")
    await become(client, ["10.128.0.2", "10.128.0.3"], [])
    await pods.delete("a", namespace="default")  # its kubelet never confirms: it stays, in termination
    await become(client, ["10.128.0.3"], [])
    await pods.patch("b", {"metadata": {"labels": {"app": "other"}}}, namespace="default")
    await become(client, [], [])


async def test_a_pod_that_becomes_unready_leaves_fast(client: Client, controller_manager: DaemonProcess) -> None:
    await client.resource(Service).create(make_service("web", selector={"app": "web"}))
    await run_pod(client, "a", "10.128.0.2")
    await become(client, ["10.128.0.2"], [])
    started = time.perf_counter()
    unready = {"status": make_pod(ready=False).status}
    await client.resource(Pod).patch("a", unready, namespace="default", subresource="status")
    await become(client, [], ["10.128.0.2"])
    assert time.perf_counter() - started < 0.5  # a tenth on a machine that does nothing else


async def test_endpoints_go_with_their_service_and_carry_its_labels(
    client: Client, controller_manager: DaemonProcess
) -> None:
    service = make_service("web", selector={"app": "web"})
    service.metadata.labels = {"tier": "front"}
    await client.resource(Service).create(service)
    await run_pod(client, "a", "10.128.0.2")
    await become(client, ["10.128.0.2"], [])
    endpoints = await client.resource(Endpoints).get("web", namespace="default")
    assert meta.labels_of(endpoints) == {"tier": "front"}
    assert "endpoints.kubernetes.io/last-change-trigger-time" in meta.annotations_of(endpoints)
    await client.resource(Service).delete("web", namespace="default")
    await become(client, [], [])


async def test_endpoints_without_a_selector_are_left_alone(client: Client, controller_manager: DaemonProcess) -> None:
    own = Endpoints(
        metadata=ObjectMeta(name="web", namespace="default"),
        subsets=[EndpointSubset(addresses=[EndpointAddress(ip="192.0.2.1")])],
    )
    await client.resource(Endpoints).create(own)
    await client.resource(Service).create(make_service("web"))
    await client.resource(Service).create(make_service("probe", selector={"app": "web"}))

    async def probed() -> bool:
        page = await client.resource(Endpoints).list(namespace="default")
        return "probe" in map(meta.name_of, page.items)

    await eventually(probed)  # the controller has processed a service that was created later
    await controller_manager.restart()
    await run_pod(client, "a", "10.128.0.2")
    assert await addresses(client) == (["192.0.2.1"], [])


async def test_endpoints_that_another_writer_changed_are_repaired(
    client: Client, controller_manager: DaemonProcess
) -> None:
    await client.resource(Service).create(make_service("web", selector={"app": "web"}))
    await run_pod(client, "a", "10.128.0.2")
    await become(client, ["10.128.0.2"], [])
    await client.resource(Endpoints).patch("web", {"subsets": None}, namespace="default", kind="merge")
    await become(client, ["10.128.0.2"], [])
    await client.resource(Endpoints).delete("web", namespace="default")
    await become(client, ["10.128.0.2"], [])
