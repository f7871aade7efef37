"""Where proxy ports may lie."""

import logging

import pytest

from component_base.values import PortRange
from kube_proxy.ports import NODE_PORTS, at_risk, default_proxy_ports, reserved_ports, warn_of_overlaps


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        pytest.param(PortRange(32768, 60999), PortRange(20000, 29999), id="the kernel's default"),
        pytest.param(PortRange(1024, 60999), PortRange(61000, 65535), id="room above only"),
        pytest.param(PortRange(15000, 65000), PortRange(1024, 14999), id="room below"),
        pytest.param(PortRange(25000, 29999), PortRange(32768, 65535), id="between the node ports and the end"),
    ],
)
def test_proxy_ports_avoid_source_ports_and_node_ports(local: PortRange, expected: PortRange) -> None:
    assert default_proxy_ports(local) == expected


def test_overlapping_node_ports_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_overlaps(PortRange(20000, 29999), PortRange(32768, 60999))
        assert not caplog.records
        warn_of_overlaps(PortRange(20000, 29999), PortRange(32000, 60999))
    assert "node ports 30000-32767 overlap ip_local_port_range 32000-60999" in caplog.text


@pytest.mark.parametrize(
    ("local", "reserved", "expected"),
    [
        pytest.param((32768, 60999), "", False, id="apart, as the kernel's default is"),
        pytest.param((15000, 60999), "", True, id="inside"),
        pytest.param((15000, 60999), "30000-32767", False, id="reserved"),
        pytest.param((15000, 60999), "8080,31000-32767,29000-30999\n", False, id="reserved in parts"),
        pytest.param((15000, 60999), "30000-32766", True, id="one is left"),
        pytest.param((32767, 60999), "", True, id="the last one"),
        pytest.param((32767, 60999), "32767", False, id="the last one, reserved"),
    ],
)
def test_node_ports_are_at_risk_where_the_kernel_takes_source_ports(
    local: tuple[int, int], reserved: str, expected: bool
) -> None:
    assert at_risk(NODE_PORTS, PortRange(*local), reserved_ports(reserved)) is expected
