"""Which node has which part of the cluster's pod network. Pure.

A Node object may claim anything as its podCIDR, and cannot take it back. What it has is what lies inside the cluster's
pod network and overlaps no part of a node that came before it: routes, and what is allocated next, follow from that.
"""

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network


class PodCidrs:
    """The parts that nodes have, by the order of their claims."""

    def __init__(self, cluster_cidr: Network | None) -> None:
        """Without a cluster CIDR a part may lie anywhere."""
        self._cluster_cidr = cluster_cidr
        self._holders: dict[_Key, str] = {}
        self._above: Counter[_Key] = Counter()
        """Networks that contain the part of a node, and of how many."""

    def claim(self, node: str, cidr: str) -> str:
        """Why the node does not have this part; empty if it has. Safe to repeat."""
        try:
            part = ip_network(cidr, strict=False)
        except ValueError:
            return f"{cidr} is not a CIDR"
        key = _key(part)
        if self._holders.get(key) == node:
            return ""
        if self._cluster_cidr is not None and not _contains(self._cluster_cidr, part):
            return f"{cidr} is not inside the cluster's pod network {self._cluster_cidr}"
        if (holder := self._holder_of_overlap(key)) is not None:
            return f"{cidr} overlaps the pod CIDR of node {holder}"
        self._holders[key] = node
        self._above.update(_above(key))
        return ""

    def release(self, node: str, cidr: str) -> bool:
        """The node is gone; whether it had this part."""
        key = _key(ip_network(cidr, strict=False))
        if self._holders.get(key) != node:
            return False
        del self._holders[key]
        self._above.subtract(_above(key))
        return True

    def _holder_of_overlap(self, key: "_Key") -> str | None:
        if self._above[key] > 0:
            return next(holder for other, holder in self._holders.items() if key in _above(other))
        return next((self._holders[network] for network in (key, *_above(key)) if network in self._holders), None)


def _contains(outer: Network, inner: Network) -> bool:
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]  # of the same family


_Key = tuple[int, int, int]
"""A network: the IP version, the length of its prefix, and the prefix. Far cheaper than the objects of ``ipaddress``."""


def _key(part: Network) -> _Key:
    return part.version, part.prefixlen, int(part.network_address) >> (part.max_prefixlen - part.prefixlen)


def _above(key: _Key) -> Iterator[_Key]:
    """The networks that contain it."""
    version, length, prefix = key
    return ((version, length - bits, prefix >> bits) for bits in range(1, length + 1))
