"""Nodes against a real apiserver; the test plays the kubelets."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from apimachinery import errors, meta
from apimachinery.core.nodes import readiness
from apimachinery.core.pods import is_ready
from apimachinery.types.coordination_v1 import Lease, LeaseSpec
from apimachinery.types.core_v1 import Event, Node, Pod, Toleration
from apimachinery.types.meta_v1 import ObjectMeta
from kube_client import Client, Resource
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.daemon_process import DaemonProcess
from tests.objects import make_node, make_pod
from tests.support import eventually


@asynccontextmanager
async def beating(client: Client, name: str) -> AsyncIterator[None]:
    """A kubelet's heartbeats: the node's Lease, renewed."""
    leases = client.resource(Lease)

    async def beat() -> None:
        while True:
            with suppress(errors.ServiceUnavailable):  # as a kubelet would, it goes on
                await _renew(leases, name)
            await asyncio.sleep(0.3)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        assert not task.done(), task.exception()
        task.cancel()


async def _renew(leases: Resource[Lease], name: str) -> None:
    spec = LeaseSpec(holder_identity=name, lease_duration_seconds=40, renew_time=meta.now_micro())
    try:
        await leases.create(Lease(metadata=ObjectMeta(name=name, namespace="kube-node-lease"), spec=spec))
    except errors.AlreadyExists:
        await leases.patch(name, {"spec": spec}, namespace="kube-node-lease", kind="merge")


async def register(client: Client, *names: str) -> None:
    nodes = client.resource(Node)
    for name in names:
        node = await nodes.create(make_node(name))
        node.status = make_node(name).status
        await nodes.patch(name, {"status": node.status}, subresource="status")


async def node_is(client: Client, name: str, ready: str, *taints: str) -> None:
    async def so() -> bool:
        node = await client.resource(Node).get(name)
        carried = {
            f"{taint.key.removeprefix('node.kubernetes.io/')}:{taint.effect}" for taint in node.spec.taints or ()
        }
        assert (readiness(node), carried) == (ready, set(taints))
        return True

    await eventually(so, timeout=15)


UNREACHABLE = ("unreachable:NoSchedule", "unreachable:NoExecute")


async def run_pod(client: Client, name: str, node: str, seconds: int | None) -> Pod:
    tolerations = [
        Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=seconds)
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    ]
    pods = client.resource(Pod)
    await pods.create(make_pod(name, node=node, tolerations=tolerations))
    status = make_pod(name, ip="10.128.0.2", ready=True).status
    return await pods.patch(name, {"status": status}, namespace="default", subresource="status")


async def test_a_silent_node_is_tainted_its_pods_unready_and_evicted_and_it_can_come_back(
    client: Client, controller_manager: DaemonProcess
) -> None:
    await register(client, "n1", "n2")
    pods = client.resource(Pod)
    async with beating(client, "n1"):
        async with beating(client, "n2"):
            await run_pod(client, "soon", "n2", seconds=1)
            await run_pod(client, "stays", "n2", seconds=None)
            await run_pod(client, "elsewhere", "n1", seconds=1)
            await node_is(client, "n2", "True")
        await node_is(client, "n2", "Unknown", *UNREACHABLE)

        async def unready() -> bool:
            pod = await pods.get("stays", namespace="default")
            return not is_ready(pod)

        await eventually(unready)

        async def evicted() -> bool:
            return meta.is_being_deleted(await pods.get("soon", namespace="default"))

        await eventually(evicted)
        assert not meta.is_being_deleted(await pods.get("stays", namespace="default"))
        assert not meta.is_being_deleted(await pods.get("elsewhere", namespace="default"))
        await node_is(client, "n1", "True")
        async with beating(client, "n2"):
            back = {"status": make_node("n2", heartbeat=meta.now()).status}
            await client.resource(Node).patch("n2", back, subresource="status")
            await node_is(client, "n2", "True")


async def test_nobody_is_evicted_while_no_node_at_all_is_heard(
    client: Client, controller_manager: DaemonProcess
) -> None:
    await register(client, "n1", "n2")
    await run_pod(client, "a", "n1", seconds=0)
    await node_is(client, "n1", "Unknown", "unreachable:NoSchedule")
    await node_is(client, "n2", "Unknown", "unreachable:NoSchedule")
    assert not meta.is_being_deleted(await client.resource(Pod).get("a", namespace="default"))


async def test_an_apiserver_that_was_away_costs_no_node_its_pods(
    client: Client, controller_manager: DaemonProcess, apiserver: ApiserverProcess
) -> None:
    await register(client, "n1", "n2")
    async with beating(client, "n1"), beating(client, "n2"):
        await run_pod(client, "a", "n2", seconds=0)
        await node_is(client, "n2", "True")
        await asyncio.to_thread(apiserver.kill)
        await asyncio.sleep(3)  # longer than the grace period: the passing of time is what is tested
        await apiserver.start()
        await asyncio.sleep(1)
        await node_is(client, "n1", "True")
        await node_is(client, "n2", "True")
    assert not meta.is_being_deleted(await client.resource(Pod).get("a", namespace="default"))


async def test_events_tell_that_a_node_came_and_went(client: Client, controller_manager: DaemonProcess) -> None:
    await register(client, "n1")
    events = client.resource(Event)

    async def told(reason: str, message: str) -> bool:
        page = await events.list(namespace="default", field_selector=f"involvedObject.name=n1,reason={reason}")
        return [event.message for event in page.items] == [message]

    await eventually(functools.partial(told, "RegisteredNode", "Registered Node n1 in Controller"))
    await client.resource(Node).delete("n1")
    await eventually(functools.partial(told, "RemovingNode", "Removing Node n1 from Controller"))


async def test_a_node_that_falls_silent_becomes_not_ready_only_if_it_was_ready(
    client: Client, controller_manager: DaemonProcess
) -> None:
    await register(client, "n1", "n2", "n3")
    async with beating(client, "n1"):
        status = {"status": make_node(ready="False").status}
        await client.resource(Node).patch("n2", status, subresource="status")
        await node_is(client, "n2", "Unknown", *UNREACHABLE)
        await node_is(client, "n3", "Unknown", *UNREACHABLE)

        async def told() -> list[str | None]:
            page = await client.resource(Event).list(namespace="default", field_selector="reason=NodeNotReady")
            return [event.involved_object.name for event in page.items]

        assert await eventually(told) == ["n3"]


async def test_a_taint_that_goes_in_time_deletes_no_pod(client: Client, controller_manager: DaemonProcess) -> None:
    await register(client, "n1")
    nodes, events = client.resource(Node), client.resource(Event)
    async with beating(client, "n1"):
        await node_is(client, "n1", "True")
        pod = await run_pod(client, "a", "n1", seconds=300)
        taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}

        async def told() -> bool:
            await nodes.patch("n1", {"spec": {"taints": [taint]}}, kind="merge")
            await nodes.patch("n1", {"spec": {"taints": None}}, kind="merge")
            selector = f"involvedObject.uid={meta.uid_of(pod)},reason=TaintManagerEviction"
            page = await events.list(namespace="default", field_selector=selector)
            return "Cancelling deletion of Pod default/a" in {event.message for event in page.items}

        await eventually(told, interval=0.5)
    assert not meta.is_being_deleted(await client.resource(Pod).get("a", namespace="default"))


async def test_a_node_that_says_it_is_not_ready_is_tainted_so(
    client: Client, controller_manager: DaemonProcess
) -> None:
    await register(client, "n1", "n2")
    async with beating(client, "n1"), beating(client, "n2"):
        status = {"status": make_node(ready="False").status}
        await client.resource(Node).patch("n2", status, subresource="status")
        await node_is(client, "n2", "False", "not-ready:NoSchedule", "not-ready:NoExecute")


async def test_a_node_under_pressure_is_tainted_as_long_as_it_lasts(
    client: Client, controller_manager: DaemonProcess
) -> None:
    await register(client, "n1")
    nodes = client.resource(Node)
    async with beating(client, "n1"):
        for status, taints in (("True", ["memory-pressure:NoSchedule"]), ("False", [])):
            condition = {"type": "MemoryPressure", "status": status}
            await nodes.patch("n1", {"status": {"conditions": [condition]}}, subresource="status")
            await node_is(client, "n1", "True", *taints)


async def test_each_node_gets_a_part_of_the_pod_network_once_across_restarts(
    client: Client, controller_manager: DaemonProcess
) -> None:
    nodes = client.resource(Node)

    async def cidrs(count: int) -> dict[str, str]:
        async def all_have() -> dict[str, str] | None:
            cidrs = {meta.name_of(node): node.spec.pod_cidr or "" for node in (await nodes.list()).items}
            return cidrs if len(cidrs) == count and all(cidrs.values()) else None

        return await eventually(all_have) or {}

    await asyncio.gather(*(nodes.create(make_node(f"n{i}")) for i in range(10)))
    first = await cidrs(10)
    assert len(set(first.values())) == 10
    await controller_manager.restart()
    await nodes.delete("n0")
    await asyncio.gather(*(nodes.create(make_node(f"m{i}")) for i in range(10)))
    second = await cidrs(19)
    assert len(set(second.values())) == 19
    assert all(second[name] == cidr for name, cidr in first.items() if name != "n0")


async def test_a_node_takes_no_part_of_another_by_what_it_claims(
    client: Client, controller_manager: DaemonProcess
) -> None:
    """Nor the whole range, nor one outside, which an event says; the next nodes get parts as before."""
    nodes, events = client.resource(Node), client.resource(Event)

    async def part_of(name: str) -> str | None:
        return (await nodes.get(name)).spec.pod_cidr

    async def refusal(name: str) -> str | None:
        page = await events.list(field_selector=f"involvedObject.name={name},reason=CIDRAssignmentFailed")
        return page.items[0].message if page.items else None

    await nodes.create(make_node("n1"))
    first = await eventually(lambda: part_of("n1"))
    for name, cidr, fault in (
        ("whole", "10.128.0.0/16", "overlaps the pod CIDR of node n1"),
        ("same", first, "overlaps the pod CIDR of node n1"),
        ("machines", "100.64.0.0/24", "is not inside the cluster's pod network"),
    ):
        claiming = make_node(name)
        claiming.spec.pod_cidr = cidr
        await nodes.create(claiming)
        assert fault in (await eventually(functools.partial(refusal, name)) or "")
    await nodes.create(make_node("n2"))
    second = await eventually(lambda: part_of("n2"))
    assert second not in (None, first)
    await nodes.delete("same")
    await nodes.create(make_node("n3"))
    assert await eventually(lambda: part_of("n3")) not in (None, first, second)
