"""Rules as the kernel's bytes, there and back."""

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_proxy.iptables.chains import USERSPACE_CHAINS
from kube_proxy.iptables.entry import decode, encode
from kube_proxy.iptables.rules import Jump, Redirect, Reject, RejectWith, Rule

REDIRECT = Rule(Redirect(20001), "a/b:c", "tcp", IPv4Network("10.0.0.5/32"), 80)

# What iptables-legacy 1.8.9 writes for
#   -d 10.0.0.5/32 -p tcp --dport 80 -m comment --comment a/b:c -j REDIRECT --to-ports 20001
# including what it leaves lying behind the names and in the padding.
BY_THE_COMMAND = bytes.fromhex(
    "000000000a00000500000000ffffffff" + "00" * 64 + "0600000000000000c001f801" + "01000000" + "00" * 16
    + "300074637000000050c2f2463a7f0000f026f2463a7f0000f05605473a7f00000000ffff5000500000000000" + "00000000"
    + "2001636f6d6d656e7400f2463a7f000080b2305dfd550000b006de473a7f0000612f623a63" + "00" * 251
    + "380052454449524543540000a001000000000000000000000000000000000000010000000200000000000000000000004e214e2100000000"
)  # fmt: skip

ports = st.integers(1, 65535)
networks = st.builds(
    lambda address, bits: IPv4Network((address, bits), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)
)
targets = st.one_of(
    st.builds(Redirect, ports), st.builds(Reject, st.sampled_from(RejectWith)), st.just(Jump("KUBE-PORTALS-HOST"))
)
comments = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=200)
rules = st.one_of(
    st.builds(Rule, targets, comments, st.sampled_from(["tcp", "udp"]), networks, ports, st.booleans()),
    st.builds(Rule, targets, comments, st.sampled_from([None, "tcp", "udp"]), networks, st.none(), st.booleans()),
    st.builds(Rule, targets, comments, st.just("tcp"), networks, ports, not_source=networks),
    st.builds(Rule, targets, comments, st.just("udp"), networks, ports, source=networks),
    st.builds(
        Rule,
        targets,
        comments,
        st.just("tcp"),
        destination_port=st.integers(1, 9),
        last_destination_port=st.integers(10, 65535),
        not_dnat=st.booleans(),
    ),
)


@given(rules)
def test_a_rule_survives_the_way_to_bytes_and_back(rule: Rule) -> None:
    name = {Redirect: "REDIRECT", Reject: "REJECT"}.get(type(rule.target))
    entry = bytearray(encode(rule))
    if isinstance(rule.target, Jump):  # read back from the kernel, a jump has no name but an offset
        name = rule.target.chain
        at = int.from_bytes(entry[88:90], "little") + 2
        entry[at : at + 29] = bytes(29)
    assert name
    assert decode(bytes(entry), name) == rule


def test_an_entry_made_by_the_iptables_command_is_understood() -> None:
    assert decode(BY_THE_COMMAND, "REDIRECT") == REDIRECT


def test_the_layout_is_the_commands() -> None:
    """Equal in sizes, offsets, and all of the header but what the kernel notes for itself."""
    ours = encode(REDIRECT)
    assert len(ours) == len(BY_THE_COMMAND)
    assert ours[:92] == BY_THE_COMMAND[:92]


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        pytest.param(0, 1, id="a source address"),
        pytest.param(16, ord("e"), id="an interface"),
        pytest.param(80, 1, id="another protocol"),
        pytest.param(83, 0x20, id="an inverted match"),
        pytest.param(112 + 32, 5, id="a source port"),
        pytest.param(112 + 43, 1, id="an inverted port"),
        pytest.param(112 + 2, ord("x"), id="another match"),
    ],
)
def test_what_we_never_write_is_not_taken_for_ours(offset: int, value: int) -> None:
    entry = bytearray(encode(REDIRECT))
    entry[offset] = value
    assert decode(bytes(entry), "REDIRECT") is None


def test_every_chain_of_ours_fits_the_kernels_limit_of_28_letters() -> None:
    assert all(len(chain.name) <= 28 for chain in USERSPACE_CHAINS)
