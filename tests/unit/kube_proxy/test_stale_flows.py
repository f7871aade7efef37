"""Which UDP flows the kernel must forget, as a table; the kernel's own bytes in test_proxy_udp."""

import pytest

from kube_proxy.conntrack.stale import Claim, Entry, is_stale

VIP, NODE, FAR = "10.0.0.10", "192.0.2.1", "198.51.100.7"
CLAIMS = {
    (VIP, 53): Claim(frozenset({(None, 20001)})),
    (None, 30053): Claim(frozenset({(None, 20001)})),
    ("10.0.0.11", 53): Claim(frozenset()),
    ("10.0.0.12", 53): Claim(frozenset({("10.1.0.1", 5353), ("10.1.0.2", 5353)})),
}


@pytest.mark.parametrize(
    ("destination", "responder", "expected"),
    [
        pytest.param((VIP, 53), (NODE, 20001), False, id="as it should be"),
        pytest.param((VIP, 53), (NODE, 20002), True, id="an earlier proxy port"),
        pytest.param((VIP, 53), (VIP, 53), True, id="began before there was a rule"),
        pytest.param((VIP, 54), (VIP, 54), False, id="another port"),
        pytest.param((NODE, 30053), (NODE, 30053), True, id="node port before its rule"),
        pytest.param((FAR, 30053), (FAR, 30053), False, id="the same port elsewhere, passing through"),
        pytest.param(("10.0.0.11", 53), (NODE, 20003), True, id="a service that is gone"),
        pytest.param(("10.0.0.12", 53), ("10.1.0.2", 5353), False, id="an endpoint"),
        pytest.param(("10.0.0.12", 53), ("10.1.0.3", 5353), True, id="an endpoint that is gone"),
    ],
)
def test_is_stale(destination: tuple[str, int], responder: tuple[str, int], expected: bool) -> None:
    assert is_stale(Entry(destination, responder), CLAIMS, is_local=lambda address: address == NODE) == expected
