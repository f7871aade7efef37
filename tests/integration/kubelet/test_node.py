"""The node's object, its Lease, the pod network, and routes to other nodes."""

import asyncio
import subprocess
from functools import partial

import pytest

from apimachinery import errors, meta
from apimachinery.types import coordination_v1, core_v1, meta_v1
from kube_client import Client
from tests.integration.kubelet.cluster import ADDRESS, CLUSTER_CIDR, NEIGHBOUR, NODE, POD_CIDR, Cluster, ip, iptables
from tests.integration.kubelet.conftest import condition_of
from tests.support import eventually


async def get_node(client: Client) -> core_v1.Node | None:
    try:
        return await client.resource(core_v1.Node).get(NODE)
    except (errors.NotFound, errors.ServiceUnavailable):
        return None


async def test_a_node_without_a_pod_network_is_not_ready_and_ready_at_once_with_it(client: Client) -> None:
    nodes = client.resource(core_v1.Node)

    async def reported() -> core_v1.Node | None:
        node = await get_node(client)
        return node if node and condition_of(node, "Ready") else None

    node = await eventually(reported, timeout=30)
    assert node is not None
    assert condition_of(node, "Ready") == "False"
    ready = next(condition for condition in node.status.conditions or () if condition.type == "Ready")
    assert "container runtime network not ready" in (ready.message or "")
    await nodes.patch(NODE, {"spec": {"podCIDR": POD_CIDR, "podCIDRs": [POD_CIDR]}})

    async def is_ready() -> bool:
        now = await get_node(client)
        return now is not None and condition_of(now, "Ready") == "True"

    await eventually(is_ready, timeout=3)


async def test_the_node_says_what_it_is(node: core_v1.Node) -> None:
    labels = meta.labels_of(node)
    assert labels["kubernetes.io/hostname"] == NODE
    assert labels["kubernetes.io/os"] == "linux"
    assert {address.type: address.address for address in node.status.addresses or ()} == {
        "InternalIP": ADDRESS,
        "Hostname": NODE,
    }
    assert {"cpu", "memory", "pods", "ephemeral-storage"} <= (node.status.allocatable or {}).keys()
    assert (node.status.capacity or {})["pods"] == "110"
    assert node.status.node_info.container_runtime_version.startswith("docker://")
    endpoint = node.status.daemon_endpoints.kubelet_endpoint
    assert endpoint is not None
    assert endpoint.port == 10250


async def test_what_others_add_to_the_capacity_is_allocatable(client: Client, node: core_v1.Node) -> None:
    nodes = client.resource(core_v1.Node)

    async def is_allocatable(count: str | None) -> bool:
        return ((await nodes.get(NODE)).status.allocatable or {}).get("example.com/dongle") == count

    for count in ("2", "3", None):
        change = {"status": {"capacity": {"example.com/dongle": count}}}
        await nodes.patch(NODE, change, kind="strategic", subresource="status")
        await eventually(partial(is_allocatable, count))


async def test_the_node_lists_its_images(client: Client, node: core_v1.Node) -> None:
    async def listed() -> list[core_v1.ContainerImage] | None:
        return (await client.resource(core_v1.Node).get(NODE)).status.images

    images = await eventually(listed, timeout=15)
    assert images is not None
    names = {name for image in images for name in image.names or ()}
    assert {"peapod/pause:1.0", "peapod/busybox:latest"} & names
    sizes = [image.size_bytes or 0 for image in images]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 100_000


async def test_the_lease_belongs_to_the_node_and_is_renewed(client: Client, node: core_v1.Node) -> None:
    leases = client.resource(coordination_v1.Lease)

    async def owned() -> coordination_v1.Lease | None:
        try:
            lease = await leases.get(NODE, namespace="kube-node-lease")
        except errors.NotFound:
            return None
        return lease if lease.metadata.owner_references else None

    lease = await eventually(owned, timeout=20)
    assert lease is not None
    assert (lease.metadata.owner_references or [])[0].uid == meta.uid_of(node)
    assert lease.spec.lease_duration_seconds == 40
    first = lease.spec.renew_time or ""

    async def renewed() -> bool:
        now = await leases.get(NODE, namespace="kube-node-lease")
        return (now.spec.renew_time or "") > first

    await eventually(renewed, timeout=15, interval=0.5)


async def test_pods_are_masqueraded_only_to_the_outside(node: core_v1.Node) -> None:
    chain = await asyncio.to_thread(iptables, "-t", "nat", "-S", "PEAPOD-POSTROUTING")
    rules = chain.splitlines()
    assert rules[-1] == "-A PEAPOD-POSTROUTING -j MASQUERADE"
    assert f"-A PEAPOD-POSTROUTING -d {CLUSTER_CIDR} -j RETURN" in rules
    assert "-A PEAPOD-POSTROUTING -d 10.0.0.0/16 -j RETURN" in rules
    everything = await asyncio.to_thread(iptables, "-t", "nat", "-S")
    assert f"-A POSTROUTING -s {POD_CIDR} ! -o peapod0 -j MASQUERADE" not in everything
    forward = await asyncio.to_thread(iptables, "-S", "DOCKER-USER")
    assert f"-s {CLUSTER_CIDR}" in forward
    assert f"-d {CLUSTER_CIDR}" in forward


async def test_the_engines_chain_is_created_where_the_engine_did_not(cluster: Cluster, node: core_v1.Node) -> None:
    """After a reboot it finds all its networks, and creates the chain with new ones only."""

    def remove_chain() -> None:
        iptables("-D", "FORWARD", "-j", "DOCKER-USER")
        iptables("-F", "DOCKER-USER")
        iptables("-X", "DOCKER-USER")

    await asyncio.to_thread(remove_chain)
    cluster.restart_kubelet()

    async def restored() -> bool:
        rules = (await asyncio.to_thread(iptables, "-S")).splitlines()
        assert "-A FORWARD -j DOCKER-USER" in rules
        return any(rule.startswith(f"-A DOCKER-USER -s {CLUSTER_CIDR}") for rule in rules)

    await eventually(restored, timeout=30)


async def test_a_restart_is_not_seen_from_outside(cluster: Cluster, client: Client, node: core_v1.Node) -> None:
    """The node stays Ready all along, and its bridge and rules are reused, not created again."""

    async def rules() -> str:
        return await asyncio.to_thread(lambda: iptables("-S") + iptables("-t", "nat", "-S"))

    before, read = await rules(), len(cluster.kubelet.log.read_text())
    readiness: list[str] = []

    async def watch() -> None:
        nodes = client.resource(core_v1.Node)
        async for event in nodes.watch(resource_version=node.metadata.resource_version):
            readiness.append(condition_of(event.object, "Ready"))

    watching = asyncio.create_task(watch())
    cluster.restart_kubelet()
    # Its first report comes after its look at the network.
    await eventually(lambda: readiness and "pod CIDR is" in cluster.kubelet.log.read_text()[read:], timeout=60)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert set(readiness) == {"True"}
    assert await rules() == before


async def test_routes_lead_to_other_nodes_and_go_with_them(client: Client, node: core_v1.Node) -> None:
    nodes = client.resource(core_v1.Node)
    other = core_v1.Node(metadata=meta_v1.ObjectMeta(name="node-2"), spec=core_v1.NodeSpec(pod_cidr="10.249.2.0/24"))
    await nodes.create(other)
    addresses = [{"type": "InternalIP", "address": NEIGHBOUR}]
    await nodes.patch("node-2", {"status": {"addresses": addresses}}, kind="merge", subresource="status")
    await asyncio.to_thread(ip, "route", "add", "10.249.77.0/24", "via", NEIGHBOUR)  # somebody else's
    route = f"10.249.2.0/24 via {NEIGHBOUR}"

    async def routes() -> str:
        return await asyncio.to_thread(ip, "route")

    async def is_there() -> bool:
        return route in await routes()

    async def is_gone() -> bool:
        return route not in await routes()

    await eventually(is_there, timeout=5)
    await nodes.delete("node-2")
    await eventually(is_gone, timeout=5)
    assert "10.249.77.0/24" in await routes()
    await asyncio.to_thread(ip, "route", "del", "10.249.77.0/24")


async def test_a_node_object_does_not_rewrite_the_machine_s_own_routes(
    cluster: Cluster, client: Client, node: core_v1.Node
) -> None:
    """One whose pod CIDR is the machines' network, one in the way of somebody's route, and one that is in order."""
    nodes = client.resource(core_v1.Node)
    await asyncio.to_thread(ip, "route", "add", "10.249.77.0/24", "via", NEIGHBOUR)
    cidrs = {"machines": "100.64.251.0/24", "in-the-way": "10.249.77.0/24", "in-order": "10.249.2.0/24"}
    before = set((await asyncio.to_thread(ip, "route")).splitlines())
    for name, cidr in cidrs.items():
        spec = core_v1.NodeSpec(pod_cidr=cidr)
        await nodes.create(core_v1.Node(metadata=meta_v1.ObjectMeta(name=name), spec=spec))
        addresses = [{"type": "InternalIP", "address": NEIGHBOUR}]
        await nodes.patch(name, {"status": {"addresses": addresses}}, kind="merge", subresource="status")

    async def added() -> set[str]:
        return {line.strip() for line in set((await asyncio.to_thread(ip, "route")).splitlines()) ^ before}

    await eventually(added, timeout=10)
    assert await added() == {f"10.249.2.0/24 via {NEIGHBOUR} dev eth0 proto 80"}
    assert "100.64.251.0/24 is not inside the cluster's pod network" in cluster.kubelet.log.read_text()
    for name in cidrs:
        await nodes.delete(name)

    async def is_as_before() -> bool:
        return not await added()

    await eventually(is_as_before, timeout=10)
    await asyncio.to_thread(ip, "route", "del", "10.249.77.0/24")


async def test_the_node_tells_its_conditions_and_that_it_is_cordoned(client: Client, node: core_v1.Node) -> None:
    events, nodes = client.resource(core_v1.Event), client.resource(core_v1.Node)

    async def told(reason: str) -> core_v1.Event | None:
        selector = f"involvedObject.kind=Node,involvedObject.name={NODE},reason={reason}"
        return next(iter((await events.list(namespace="default", field_selector=selector)).items), None)

    for reason in ("NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID", "NodeReady"):
        await eventually(partial(told, reason), timeout=10)
    for unschedulable, reason in ((True, "NodeNotSchedulable"), (None, "NodeSchedulable")):
        await nodes.patch(NODE, {"spec": {"unschedulable": unschedulable}}, kind="merge")
        event = await eventually(partial(told, reason), timeout=10)
        assert event is not None
        assert event.message == f"Node {NODE} status is now: {reason}"


async def test_a_deleted_node_registers_again(client: Client, node: core_v1.Node) -> None:
    await client.resource(core_v1.Node).delete(NODE)

    async def is_back() -> bool:
        now = await get_node(client)
        return now is not None and meta.uid_of(now) != meta.uid_of(node)

    await eventually(is_back, timeout=10)


@pytest.mark.parametrize("flag", ["--cluster-cidr", "--service-cluster-ip-range"])
def test_a_range_that_the_node_uses_is_refused(cluster: Cluster, flag: str) -> None:
    command = [*cluster.kubelet.command, f"{flag}=100.64.0.0/16", "--port=0", "--healthz-port=0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert f"{flag} 100.64.0.0/16 overlaps {ADDRESS}" in done.stderr
