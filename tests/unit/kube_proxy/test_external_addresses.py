"""Which addresses from outside services get, with real sockets on loopback's addresses."""

import socket
from ipaddress import IPv4Network

import pytest

from apimachinery.meta import Key
from component_base.values import PortRange
from kube_proxy import external_addresses
from kube_proxy.external_addresses import ExternalAddresses, Reserved
from kube_proxy.ports import Ports

ONE, TWO = Key("ns", "one"), Key("ns", "two")
FAR = ("192.0.2.1", "TCP", 80)
RESERVED = Reserved(
    (("cluster IPs", IPv4Network("10.0.0.0/16")), ("pods", IPv4Network("10.128.0.0/16"))),
    frozenset({("192.0.2.9", 6443)}),
)


@pytest.fixture
def external() -> ExternalAddresses:
    return ExternalAddresses(Ports("127.0.0.1", PortRange(20000, 20010)), RESERVED)


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        (FAR, ""),
        (("127.0.0.1", "TCP", 10250), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (("169.254.169.254", "TCP", 80), "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (("224.0.0.251", "UDP", 5353), "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
        (("0.0.0.0", "TCP", 80), "may not be unspecified (0.0.0.0 or ::)"),
        (("255.255.255.255", "UDP", 67), "may not be the broadcast address (255.255.255.255)"),
        (("10.0.0.10", "UDP", 53), "it is in the range of cluster IPs (10.0.0.0/16)"),
        (("10.128.3.4", "TCP", 80), "it is in the range of pods (10.128.0.0/16)"),
        (("192.0.2.9", "TCP", 6443), "the apiserver is reached there"),
        (("192.0.2.9", "TCP", 443), ""),
        (("192.0.2.9", "UDP", 6443), ""),
    ],
)
def test_what_is_somebody_else_s_is_refused(
    external: ExternalAddresses, target: tuple[str, str, int], fault: str
) -> None:
    assert external.acquire(ONE, {target}) == ({target: fault} if fault else {})
    assert external.refused(ONE) == ({target: fault} if fault else {})


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address of this machine that counts as an ordinary one."""
    monkeypatch.setattr(external_addresses, "special", lambda ip: "")
    return "127.0.0.7"


def test_a_port_of_the_node_that_a_process_has_stays_its_own(external: ExternalAddresses, local: str) -> None:
    with socket.create_server(("0.0.0.0", 0)) as kubelet:
        target = (local, "TCP", kubelet.getsockname()[1])
        fault = "the port of this node is taken: Address already in use"
        assert external.acquire(ONE, {target}) == {target: fault}
        assert external.acquire(ONE, {target}) == {}, "it is told once"
        assert external.services_refused == {ONE}
        external.acquire(TWO, {target})
        external.release(TWO, ())
        assert external.services_refused == {ONE}, "a service that is gone is not tried again"
    assert external.acquire(ONE, {target}) == {}
    assert external.services_refused == set()
    external.close()


def test_a_port_of_the_node_that_a_service_gets_is_held_until_no_service_wants_it(
    external: ExternalAddresses, local: str
) -> None:
    with socket.create_server((local, 0)) as probe:
        target = (local, "TCP", probe.getsockname()[1])
    external.acquire(ONE, {target})
    external.acquire(TWO, {target})
    external.release(ONE, {FAR})
    with pytest.raises(OSError, match="Address already in use"):
        socket.create_server(target[::2]).close()
    external.release(TWO, ())
    socket.create_server(target[::2]).close()


def test_an_address_at_which_the_apiserver_is_reached_from_now_on_is_given_back(external: ExternalAddresses) -> None:
    assert external.acquire(ONE, {FAR}) == {}
    assert external.reserve_apiserver({("192.0.2.1", 80)}) == {ONE}
    external.release(ONE, {FAR})
    assert external.acquire(ONE, {FAR}) == {FAR: "the apiserver is reached there"}
    assert external.reserve_apiserver({("192.0.2.1", 80)}) == set()
    assert external.reserve_apiserver(()) == {ONE}
    assert external.acquire(ONE, {FAR}) == {}
