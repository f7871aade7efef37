"""The table of services: who asks x by which address x protocol x mode, each cell a test, on two nodes.

The only endpoint is the pod ``own`` on node-1. A cell that is served says whom the endpoint saw as its client.
"""

import os
import time
from collections.abc import Iterator

import pytest

from apimachinery.types import core_v1
from tests.integration.kube_proxy.cluster import (
    FAR,
    GATEWAY,
    NEAR,
    NODE_1,
    NODE_2,
    OUTSIDE,
    OWN,
    SERVER_PORT,
    Cluster,
    running_cluster,
)
from tests.integration.kube_proxy.lab import CLUSTER_IP, endpoints, service

EXTERNAL_IP, NODE_PORT = "192.0.2.7", 30080
ADDRESSES = {
    "cluster IP": (CLUSTER_IP, 1234),
    "external IP": (EXTERNAL_IP, 1234),
    "node port of the endpoint's node": (NODE_1, NODE_PORT),
    "node port of another node": (NODE_2, NODE_PORT),
}
VANTAGES = {
    "pod on the same node": "near",
    "pod on another node": "far",
    "the node itself": "node-1",
    "another node": "node-2",
    "host outside": "outside",
    "pod to its own service": "own",
}
PROTOCOLS = ("TCP", "UDP")
MODES = ("userspace", "iptables")

# Which node's proxy carries the client, and so who the endpoint sees: the node as its pods know it, or as the other
# nodes do. For a node port that is the node that is asked, else the client's own; all roads from outside enter node-1.
CARRIED = {
    #                            cluster IP, external IP, node-1's port, node-2's port
    "pod on the same node":      (GATEWAY,    GATEWAY,     GATEWAY,       NODE_2),
    "pod on another node":       (NODE_2,     NODE_2,      GATEWAY,       NODE_2),
    "the node itself":           (GATEWAY,    GATEWAY,     GATEWAY,       NODE_2),
    "another node":              (NODE_2,     NODE_2,      GATEWAY,       NODE_2),
    "host outside":              (GATEWAY,    GATEWAY,     GATEWAY,       NODE_2),
    "pod to its own service":    (GATEWAY,    GATEWAY,     GATEWAY,       NODE_2),
}  # fmt: skip
SEEN = {
    "userspace": CARRIED,
    # Iptables mode lets endpoints see pods that come by the cluster IP; but one that is its own client must be hidden.
    "iptables": CARRIED | {
        "pod on the same node":  (NEAR,       GATEWAY,     GATEWAY,       NODE_2),
        "pod on another node":   (FAR,        NODE_2,      GATEWAY,       NODE_2),
    },
}  # fmt: skip
CELLS = [(vantage, address, protocol) for vantage in VANTAGES for address in ADDRESSES for protocol in PROTOCOLS]


def web(**changes: object) -> core_v1.Service:
    ports = [
        core_v1.ServicePort(name=name.lower(), port=1234, protocol=name, node_port=NODE_PORT) for name in PROTOCOLS
    ]
    usual: dict[str, object] = {"type": "NodePort", "ports": ports, "external_ips": [EXTERNAL_IP]}
    return service(**(usual | changes))  # type: ignore[arg-type]


def ready(**pods: str) -> core_v1.Endpoints:
    """Pods that are endpoints, by address, each with its node's name."""
    by_port = endpoints()
    by_port.subsets = [
        core_v1.EndpointSubset(
            addresses=[
                core_v1.EndpointAddress(ip=address, node_name=node.replace("_", "-")) for node, address in pods.items()
            ],
            ports=[core_v1.EndpointPort(name=name.lower(), port=SERVER_PORT, protocol=name) for name in PROTOCOLS],
        )
    ]
    return by_port


@pytest.fixture(scope="module", params=MODES)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    if os.geteuid():
        pytest.skip("network namespaces need root")
    with running_cluster(request.param) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Cluster:
    cluster.serve([web()], [ready(node_1=OWN)])
    return cluster


@pytest.mark.parametrize(("vantage", "address", "protocol"), CELLS)
def test_an_answer_comes(served: Cluster, vantage: str, address: str, protocol: str) -> None:
    client = served.places[VANTAGES[vantage]]
    seen = SEEN[served.mode][vantage][[*ADDRESSES].index(address)]
    assert client.ask(*ADDRESSES[address], protocol) == f"own {seen}"


@pytest.fixture(scope="module")
def bare(cluster: Cluster) -> Cluster:
    cluster.serve([web()], [endpoints()])
    return cluster


@pytest.mark.parametrize(("vantage", "address", "protocol"), CELLS)
def test_without_endpoints_it_is_refused_at_once(bare: Cluster, vantage: str, address: str, protocol: str) -> None:
    started = time.monotonic()
    # A node's own datagram may be refused by send itself.
    with pytest.raises((ConnectionRefusedError, PermissionError)):
        bare.places[VANTAGES[vantage]].ask(*ADDRESSES[address], protocol)
    assert time.monotonic() - started < 0.5


LOCAL = {"external_traffic_policy": "Local"}
# Whom the policy is for: those from outside get the asked node's own endpoint, all others any of the two.
OWN_ONLY, ANY, FAR_ONLY = {"own"}, {"own", "far"}, {"far"}
ANSWERING = {
    #                            cluster IP, external IP, node-1's port, node-2's port
    "pod on the same node":      (ANY,        ANY,         ANY,           ANY),
    "pod on another node":       (ANY,        ANY,         ANY,           ANY),
    "the node itself":           (ANY,        ANY,         ANY,           FAR_ONLY),
    "another node":              (ANY,        ANY,         OWN_ONLY,      ANY),
    "host outside":              (ANY,        OWN_ONLY,    OWN_ONLY,      FAR_ONLY),
}  # fmt: skip


def answering(cluster: Cluster, vantage: str, address: str, protocol: str) -> set[str]:
    client = cluster.places[VANTAGES[vantage]]
    return {client.ask(*ADDRESSES[address], protocol).partition(" ")[0] for _ in range(25)}


@pytest.fixture(scope="module")
def local(cluster: Cluster) -> Cluster:
    cluster.serve([web(**LOCAL)], [ready(node_1=OWN, node_2=FAR)])
    return cluster


@pytest.mark.parametrize(("vantage", "address", "protocol"), [cell for cell in CELLS if cell[0] in ANSWERING])
def test_a_local_policy_is_for_clients_outside(local: Cluster, vantage: str, address: str, protocol: str) -> None:
    expected = ANSWERING[vantage][[*ADDRESSES].index(address)]
    assert answering(local, vantage, address, protocol) == expected


@pytest.fixture(scope="module")
def one_sided(cluster: Cluster) -> Cluster:
    """Node-2 has no endpoint of its own, and the policy inside is Local too."""
    cluster.serve([web(internal_traffic_policy="Local", **LOCAL)], [ready(node_1=OWN)])
    return cluster


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_node_without_endpoints_refuses_whom_the_policy_is_for(one_sided: Cluster, protocol: str) -> None:
    places = one_sided.places
    for name, address in (("outside", "node port of another node"), ("far", "cluster IP"), ("node-2", "cluster IP")):
        with pytest.raises((ConnectionRefusedError, PermissionError)):
            places[name].ask(*ADDRESSES[address], protocol, timeout=0.5)
    for name in ("far", "node-2"):
        for address in ("external IP", "node port of another node"):
            assert places[name].ask(*ADDRESSES[address], protocol) == f"own {NODE_2}"


def test_iptables_mode_shows_clients_from_outside_where_the_policy_is_local(local: Cluster) -> None:
    answer = local.places["outside"].ask(NODE_1, NODE_PORT, "TCP")
    assert answer == f"own {OUTSIDE if local.mode == 'iptables' else GATEWAY}"
