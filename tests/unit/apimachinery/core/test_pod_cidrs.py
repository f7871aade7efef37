"""Who has which part of the pod network, whatever Node objects claim."""

from ipaddress import ip_network

import pytest

from apimachinery.core.pod_cidrs import PodCidrs

CLUSTER = ip_network("10.128.0.0/16")


@pytest.mark.parametrize(
    ("cidr", "fault"),
    [
        ("10.128.2.0/24", ""),
        ("100.64.0.0/24", "100.64.0.0/24 is not inside the cluster's pod network 10.128.0.0/16"),
        ("0.0.0.0/0", "0.0.0.0/0 is not inside the cluster's pod network 10.128.0.0/16"),
        ("fd00::/64", "fd00::/64 is not inside the cluster's pod network 10.128.0.0/16"),
        ("10.128.1.0/24", "10.128.1.0/24 overlaps the pod CIDR of node first"),
        ("10.128.1.128/25", "10.128.1.128/25 overlaps the pod CIDR of node first"),
        ("10.128.0.0/16", "10.128.0.0/16 overlaps the pod CIDR of node first"),
        ("everything", "everything is not a CIDR"),
    ],
)
def test_a_node_has_what_is_inside_the_range_and_nobody_else_s(cidr: str, fault: str) -> None:
    cidrs = PodCidrs(CLUSTER)
    assert cidrs.claim("first", "10.128.1.0/24") == ""
    assert cidrs.claim("second", cidr) == fault
    assert cidrs.claim("first", "10.128.1.0/24") == ""


def test_what_a_node_gives_up_another_may_have() -> None:
    cidrs = PodCidrs(CLUSTER)
    assert cidrs.claim("first", "10.128.1.0/24") == ""
    assert not cidrs.release("second", "10.128.1.0/24")
    assert cidrs.release("first", "10.128.1.0/24")
    assert cidrs.claim("second", "10.128.0.0/17") == ""


def test_without_a_range_only_overlaps_are_refused() -> None:
    cidrs = PodCidrs(None)
    assert cidrs.claim("first", "10.1.0.0/24") == ""
    assert cidrs.claim("second", "192.168.0.0/24") == ""
    assert cidrs.claim("third", "10.0.0.0/8") == "10.0.0.0/8 overlaps the pod CIDR of node first"
