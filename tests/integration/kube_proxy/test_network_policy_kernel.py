"""The rules and sets of network policies in a real kernel: what passes between pods on a bridge, and from outside."""

import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from host_network.commands import CommandError
from kube_proxy.dataplane.messages import Policies, PolicyRule
from kube_proxy.network_policy import kernel as kernel_module
from kube_proxy.network_policy.kernel import NOTHING, Kernel, clean_up_everywhere, show_bridged_packets
from tests.integration.kube_proxy.lab import entered, ip

PODS = {"a": "10.244.7.2", "b": "10.244.7.3"}
OUTSIDE, NODE = "100.64.252.9", "100.64.252.1"
WAIT = 0.4
"""Seconds without an answer that count as dropped: everything is on this machine."""

DENY_A = Policies({"ingress": frozenset((PODS["a"],)), "egress": frozenset()}, frozenset((NODE,)), {}, {}, ())
DENY_FROM_B = Policies({"ingress": frozenset(), "egress": frozenset((PODS["b"],))}, frozenset((NODE,)), {}, {}, ())


@dataclass
class Place:
    path: Path
    address: str

    def reaches(self, address: str, port: int, protocol: str = "TCP") -> bool:
        kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
        with entered(self.path):
            client = socket.socket(type=kind)
        with client:
            client.settimeout(WAIT)
            try:
                client.connect((address, port))
                client.send(b"?")
                return client.recv(8) == b"!"
            except OSError:
                return False


@dataclass
class Network:
    node: Place
    pods: dict[str, Place]
    outside: Place


SERVER = """
import selectors, socket
waiting = selectors.DefaultSelector()
for port in (80, 81):
    waiting.register(socket.create_server(("0.0.0.0", port)), 1, "accept")
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", port))
    waiting.register(sock, 1, "datagram")
print("ready", flush=True)
while True:
    for key, _ in waiting.select():
        if key.data == "accept":
            waiting.register(key.fileobj.accept()[0], 1, "stream")
        elif key.data == "datagram":
            key.fileobj.sendto(b"!", key.fileobj.recvfrom(8)[1])
        elif not key.fileobj.recv(8):
            waiting.unregister(key.fileobj)
            key.fileobj.close()
        else:
            key.fileobj.send(b"!")
"""


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """A node with a bridge and two pods on it, and a machine beside it; each pod serves TCP and UDP 80 and 81."""
    if os.geteuid():
        pytest.skip("network namespaces need root")
    names = {role: f"peapod-netpol-{os.getpid()}-{role}" for role in ("node", "a", "b", "out")}
    servers = []
    try:
        for name in names.values():
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        node = names["node"]
        ip("-n", node, "link", "add", "pods", "type", "bridge", "forward_delay", "0")
        ip("-n", node, "addr", "add", "10.244.7.1/24", "dev", "pods")
        ip("-n", node, "link", "set", "pods", "up")
        for role, address in PODS.items():
            ip(
                "-n",
                node,
                "link",
                "add",
                "name",
                f"pod-{role}",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                names[role],
            )
            ip("-n", node, "link", "set", f"pod-{role}", "master", "pods", "up")
            _configure(names[role], f"{address}/24", "10.244.7.1")
        ip("-n", node, "link", "add", "wire", "type", "veth", "peer", "name", "eth0", "netns", names["out"])
        ip("-n", node, "addr", "add", f"{NODE}/24", "dev", "wire")
        ip("-n", node, "link", "set", "wire", "up")
        _configure(names["out"], f"{OUTSIDE}/24", NODE)
        for role in PODS:
            command = ["ip", "netns", "exec", names[role], "python3", "-c", SERVER]
            servers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        for server in servers:
            assert server.stdout
            assert server.stdout.readline() == "ready\n"
        with entered(Path("/run/netns") / node):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            places = {role: Path("/run/netns") / name for role, name in names.items()}
            pods = {role: Place(places[role], address) for role, address in PODS.items()}
            yield Network(Place(places["node"], NODE), pods, Place(places["out"], OUTSIDE))
    finally:
        for server in servers:
            server.kill()
            server.wait()
            if server.stdout:
                server.stdout.close()
        for name in names.values():
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _configure(namespace: str, address: str, gateway: str) -> None:
    ip("-n", namespace, "addr", "add", address, "dev", "eth0")
    ip("-n", namespace, "link", "set", "eth0", "up")
    ip("-n", namespace, "route", "add", "default", "via", gateway)


@pytest.fixture(params=["iptables-nft", "iptables-legacy"])
def kernel(network: Network, request: pytest.FixtureRequest) -> Iterator[Kernel]:
    kernel = Kernel(request.param)
    yield kernel
    clean_up_everywhere()


def reached(network: Network) -> dict[str, bool]:
    a, b, address = network.pods["a"], network.pods["b"], PODS["a"]
    return {
        "pod tcp": b.reaches(address, 80),
        "pod udp": b.reaches(address, 80, "UDP"),
        "outside": network.outside.reaches(address, 80),
        "node": network.node.reaches(address, 80),
        "itself": a.reaches(address, 80),
        "back": a.reaches(PODS["b"], 80),
    }


EVERYTHING = dict.fromkeys(("pod tcp", "pod udp", "outside", "node", "itself", "back"), True)


def test_an_isolated_pod_is_reached_by_its_node_and_itself_alone(network: Network, kernel: Kernel) -> None:
    kernel.check()
    assert reached(network) == EVERYTHING
    kernel.apply(DENY_A)
    assert reached(network) == EVERYTHING | {"pod tcp": False, "pod udp": False, "outside": False}
    kernel.apply(None)
    assert reached(network) == EVERYTHING


def test_a_pod_whose_egress_is_denied_still_answers(network: Network, kernel: Kernel) -> None:
    kernel.apply(DENY_FROM_B)
    assert reached(network) == EVERYTHING | {"pod tcp": False, "pod udp": False}


def test_rules_let_peers_through_at_their_ports(network: Network, kernel: Kernel) -> None:
    b, outside = network.pods["b"], network.outside
    sets = {"a": frozenset((PODS["a"],)), "b": frozenset((PODS["b"],))}
    rules = (
        PolicyRule("ingress", "a", "b", "TCP", 80, 80), PolicyRule("ingress", "a", "out", "UDP", 80, 81),
        PolicyRule("ingress", "a", "b", "SCTP", 80, 81),
    )  # fmt: skip
    kernel.apply(replace(DENY_A, sets=sets, blocks={"out": ("100.64.252.8/30",)}, rules=rules))
    pod = [b.reaches(PODS["a"], port, protocol) for port, protocol in ((80, "TCP"), (81, "TCP"), (80, "UDP"))]
    out = [outside.reaches(PODS["a"], port, protocol) for port, protocol in ((80, "TCP"), (80, "UDP"), (81, "UDP"))]
    assert (pod, out) == ([True, False, False], [False, True, True])


def test_a_pod_that_the_api_does_not_know_yet_is_isolated(network: Network, kernel: Kernel) -> None:
    here = replace(NOTHING, own_range="10.244.7.0/24", pods=frozenset((PODS["b"],)), restricted=("ingress",))
    kernel.apply(here)
    assert reached(network) == EVERYTHING | {
        "pod tcp": False, "pod udp": False, "outside": False, "node": True
    }  # fmt: skip
    assert kernel.apply(replace(here, pods=frozenset(PODS.values())), verify=False) == 1
    assert reached(network) == EVERYTHING


def test_a_connection_from_before_the_policy_goes_on(network: Network, kernel: Kernel) -> None:
    kernel.apply(NOTHING)
    with entered(network.pods["b"].path):
        connection = socket.create_connection((PODS["a"], 80), WAIT)
    with connection:
        kernel.apply(DENY_A)
        connection.send(b"?")
        assert connection.recv(8) == b"!"
    assert not network.pods["b"].reaches(PODS["a"], 80)


def test_members_change_without_a_change_of_rules(network: Network, kernel: Kernel) -> None:
    everyone = replace(DENY_A, sets={"a": frozenset((PODS["a"],)), "b": frozenset()})
    everyone = replace(everyone, rules=(PolicyRule("ingress", "a", "b"),))
    kernel.apply(everyone)
    assert not network.pods["b"].reaches(PODS["a"], 80)
    more = replace(everyone, sets={**everyone.sets, "b": frozenset((PODS["b"],))})
    assert kernel.apply(more, verify=False) == 1
    assert network.pods["b"].reaches(PODS["a"], 80)
    assert kernel.apply(more, verify=False) == 0


def test_what_an_earlier_run_left_is_taken_over(
    network: Network, kernel: Kernel, request: pytest.FixtureRequest
) -> None:
    kernel.apply(DENY_A)
    successor = Kernel(kernel._command)
    successor.check()
    assert not network.pods["b"].reaches(PODS["a"], 80)
    successor.apply(DENY_FROM_B)
    assert reached(network) == EVERYTHING | {"pod tcp": False, "pod udp": False}
    successor.apply(DENY_FROM_B)
    assert _jumps(kernel._command) == 1


@pytest.mark.parametrize("damage", ["jump", "rules", "members", "bridge"])
def test_what_others_damage_is_repaired(network: Network, kernel: Kernel, damage: str) -> None:
    kernel.apply(DENY_A)
    assert kernel.apply(DENY_A) == 0
    command, bridged = kernel._command, Path(kernel_module.BRIDGED)
    match damage:
        case "jump":
            subprocess.run([command, "-t", "mangle", "-F", "FORWARD"], check=True)
        case "rules":
            subprocess.run([command, "-t", "mangle", "-F", "KUBE-NETPOL-INGRESS"], check=True)
        case "members":
            subprocess.run(["ipset", "flush", "KUBE-NETPOL-INGRESS"], check=True)
        case "bridge":
            bridged.write_text("0")
    assert network.pods["b"].reaches(PODS["a"], 80)
    kernel.apply(DENY_A)
    assert not network.pods["b"].reaches(PODS["a"], 80)
    assert _jumps(command) == 1


def test_nothing_is_left_after_cleanup(network: Network, kernel: Kernel) -> None:
    kernel.apply(DENY_A)
    clean_up_everywhere()
    saved = subprocess.run([f"{kernel._command}-save"], check=True, capture_output=True, text=True).stdout
    sets = subprocess.run(["ipset", "list", "-n"], check=True, capture_output=True, text=True).stdout
    assert "KUBE-N" not in saved + sets


def test_a_host_whose_bridges_netfilter_does_not_see_says_so(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="br_netfilter is not loaded"):
        show_bridged_packets(tmp_path / "missing")


def _jumps(command: str) -> int:
    saved = subprocess.run([f"{command}-save", "-t", "mangle"], check=True, capture_output=True, text=True).stdout
    return saved.count("-j KUBE-NETWORK-POLICY")
