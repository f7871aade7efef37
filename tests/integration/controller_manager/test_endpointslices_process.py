"""EndpointSlices against a real apiserver; the test acts as the kubelet, and as the writer of Endpoints."""

from apimachinery import meta
from apimachinery.core.well_known import SLICE_MANAGED_BY_LABEL
from apimachinery.types.core_v1 import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Pod, Service
from apimachinery.types.discovery_v1 import EndpointSlice
from apimachinery.types.meta_v1 import ObjectMeta
from kube_client import Client
from tests.integration.daemon_process import DaemonProcess
from tests.objects import make_pod, make_service
from tests.support import eventually


async def slices(client: Client) -> list[EndpointSlice]:
    page = await client.resource(EndpointSlice).list(
        namespace="default", label_selector="kubernetes.io/service-name=web"
    )
    return [*page.items]


async def become(client: Client, *expected: tuple[str, bool, bool]) -> None:
    """Addresses, whether ready, whether terminating."""

    async def same() -> bool:
        states = {
            (endpoint.addresses[0], bool(endpoint.conditions.ready), bool(endpoint.conditions.terminating))
            for endpoint_slice in await slices(client)
            for endpoint in endpoint_slice.endpoints or ()
            if endpoint.conditions
        }
        assert states == {*expected}
        return True

    await eventually(same)


async def only_slice(client: Client, address: str) -> EndpointSlice:
    """The service's slice, once that is the only one: before its cache has the first, a second sync may make another."""
    await become(client, (address, True, False))

    async def alone() -> EndpointSlice | None:
        present = await slices(client)
        return present[0] if len(present) == 1 else None

    endpoint_slice = await eventually(alone)
    assert endpoint_slice is not None
    return endpoint_slice


async def run_pod(client: Client, name: str, ip: str) -> None:
    pods = client.resource(Pod)
    await pods.create(make_pod(name, labels={"app": "web"}, node="n1"))
    status = make_pod(name, ip=ip, ready=True).status
    await pods.patch(name, {"status": status}, namespace="default", subresource="status")


async def test_slices_follow_pods_and_go_with_their_service(client: Client, controller_manager: DaemonProcess) -> None:
    services = client.resource(Service)
    await services.create(make_service("web", selector={"app": "web"}))

    async def processed() -> bool:
        return len(await slices(client)) == 1

    await eventually(processed)
    await run_pod(client, "a", "10.128.0.2")
    await run_pod(client, "b", "10.128.0.3")
    await become(client, ("10.128.0.2", True, False), ("10.128.0.3", True, False))
    await client.resource(Pod).delete("a", namespace="default")  # its kubelet never confirms
    await become(client, ("10.128.0.2", False, True), ("10.128.0.3", True, False))
    await services.delete("web", namespace="default")

    async def gone() -> bool:
        return not await slices(client)

    await eventually(gone)


async def test_slices_are_mended(client: Client, controller_manager: DaemonProcess) -> None:
    await client.resource(Service).create(make_service("web", selector={"app": "web"}))
    await run_pod(client, "a", "10.128.0.2")
    endpoint_slice = await only_slice(client, "10.128.0.2")
    api = client.resource(EndpointSlice)
    await api.delete(meta.name_of(endpoint_slice), namespace="default")
    endpoint_slice = await only_slice(client, "10.128.0.2")
    endpoint_slice.endpoints = []
    await api.update(endpoint_slice)
    await become(client, ("10.128.0.2", True, False))


async def test_hand_made_endpoints_are_mirrored_where_no_selector_makes_slices(
    client: Client, controller_manager: DaemonProcess
) -> None:
    await client.resource(Service).create(make_service("web"))
    api = client.resource(Endpoints)
    subset = EndpointSubset(
        addresses=[EndpointAddress(ip="192.0.2.1")], ports=[EndpointPort(port=5432, protocol="TCP")]
    )
    made = await api.create(Endpoints(metadata=ObjectMeta(name="web", namespace="default"), subsets=[subset]))
    await become(client, ("192.0.2.1", True, False))
    (endpoint_slice,) = await slices(client)
    assert meta.labels_of(endpoint_slice)[SLICE_MANAGED_BY_LABEL] == "endpointslicemirroring-controller.k8s.io"
    made.subsets = [EndpointSubset(addresses=[EndpointAddress(ip="192.0.2.2")], ports=subset.ports)]
    made = await api.update(made)
    await become(client, ("192.0.2.2", True, False))
    made.metadata.labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    await api.update(made)
    await become(client)
