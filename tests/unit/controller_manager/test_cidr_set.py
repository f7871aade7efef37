"""No part of the pod network is given out twice, whatever is taken, released and occupied in between."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller_manager.cidr_set import CidrSet, RangeFull


@given(st.lists(st.one_of(st.just("take"), st.integers(0, 15))))
def test_what_is_out_is_never_given_out_again(steps: list) -> None:
    cidrs, out = CidrSet(ip_network("10.128.0.0/20"), 24), set()
    for step in steps:
        if step != "take":
            cidr = f"10.128.{step}.0/24"
            cidrs.release(cidr)
            out.discard(cidr)
        elif len(out) < 16:
            cidr = cidrs.take()
            assert cidr not in out
            out.add(cidr)
        else:
            with pytest.raises(RangeFull):
                cidrs.take()
        assert len(cidrs) == 16 - len(out)


def test_what_nodes_carry_is_taken_under_any_mask() -> None:
    cidrs = CidrSet(ip_network("10.128.0.0/22"), 24)
    cidrs.occupy("10.128.0.0/23")
    cidrs.occupy("192.168.0.0/24")
    cidrs.occupy("fd00::/64")
    assert [cidrs.take(), cidrs.take()] == ["10.128.2.0/24", "10.128.3.0/24"]


def test_a_freed_part_is_not_the_next_one() -> None:
    cidrs = CidrSet(ip_network("10.128.0.0/22"), 24)
    cidrs.release(cidrs.take())
    assert cidrs.take() == "10.128.1.0/24"


def test_an_ipv6_network_has_parts_too() -> None:
    assert CidrSet(ip_network("fd00::/48"), 64).take() == "fd00::/64"


def test_a_part_larger_than_the_whole_is_refused() -> None:
    with pytest.raises(ValueError, match="/16 is no part"):
        CidrSet(ip_network("10.128.0.0/20"), 16)
