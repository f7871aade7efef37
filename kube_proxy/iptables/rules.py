"""The rules that kube-proxy writes, as values: what they match, and what they do with a packet. No I/O."""

import enum
from dataclasses import dataclass
from ipaddress import IPv4Network

ANY = IPv4Network("0.0.0.0/0")


class RejectWith(enum.Enum):
    """How a packet is refused; the values are the kernel's (``enum ipt_reject_with``)."""

    PORT_UNREACHABLE = 3
    TCP_RESET = 7


@dataclass(frozen=True)
class Redirect:
    """To a port of this node: the incoming interface's address, or 127.0.0.1 for the node's own packets."""

    port: int


@dataclass(frozen=True)
class Reject:
    reject_with: RejectWith


@dataclass(frozen=True)
class Jump:
    chain: str


@dataclass(frozen=True)
class Dnat:
    """To an endpoint."""

    address: str
    port: int


@dataclass(frozen=True)
class Mark:
    """So that the packet leaves with the node's own address."""


@dataclass(frozen=True)
class Masquerade:
    """The node's own address instead of the sender's."""


Target = Redirect | Reject | Jump | Dnat | Mark | Masquerade

MARK = 0x4000
MARK_TEXT = "0x4000/0x4000"


@dataclass(frozen=True)
class Recent:
    """iptables' ``recent``: the kernel's list of the clients that were sent to one endpoint."""

    name: str
    seconds: int | None = None
    """``--rcheck --seconds``: matches only clients that came within so long. None adds the client (``--set``)."""


@dataclass(frozen=True)
class Rule:
    """One rule of the few forms that kube-proxy writes; equal rules do the same. Fields are named as by iptables."""

    target: Target
    comment: str
    """At most ``COMMENT_SIZE`` bytes."""
    protocol: str | None = None
    """tcp, udp, or None for any."""
    destination: IPv4Network = ANY
    destination_port: int | None = None
    """Takes a protocol."""
    dst_type_local: bool = False
    """Only packets to an address of this node (``addrtype --dst-type LOCAL``)."""
    source: IPv4Network = ANY
    not_source: IPv4Network | None = None
    """Any source but this (``! --source``), instead of ``source``."""
    mark: bool = False
    """Only packets with the mark that ``Mark`` sets."""
    probability: float = 1.0
    """``statistic --mode random``: one packet out of n, so always ``1 / n``."""
    recent: Recent | None = None
    src_type_local: bool = False
    """Only packets from an address of this node (``addrtype --src-type LOCAL``)."""
    last_destination_port: int | None = None
    """With it, every port from ``destination_port`` to this one."""
    not_dnat: bool = False
    """Only packets whose destination no rule has changed (``conntrack ! --ctstate DNAT``)."""


COMMENT_SIZE = 255
"""Bytes in the longest comment."""


class UnsupportedRule(ValueError):
    """A back end cannot express the rule, which it would otherwise write as another one."""


def check(rule: Rule) -> None:
    """Raise ``UnsupportedRule`` for what no back end can express."""
    if rule.not_source is not None and rule.source != ANY:
        raise UnsupportedRule(f"{rule}: source and not_source exclude each other")
    if rule.destination_port is not None and rule.protocol not in ("tcp", "udp"):
        raise UnsupportedRule(f"{rule}: destination_port takes a protocol")
    if rule.last_destination_port is not None and rule.last_destination_port <= (rule.destination_port or 65535):
        raise UnsupportedRule(f"{rule}: last_destination_port takes a lower destination_port")
    if len(rule.comment.encode()) > COMMENT_SIZE:
        raise UnsupportedRule(f"{rule}: the comment is longer than {COMMENT_SIZE} bytes")
