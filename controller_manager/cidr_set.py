"""Allocates equal parts of a network. Pure; the caller reports what is taken already.

Parts are allocated in turn, so that a released one is not reused at once: other machines may still associate it with its
old node.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network


class RangeFull(Exception):
    """No part is left."""


class CidrSet:
    """Raises ValueError if the parts would not be smaller than the whole."""

    def __init__(self, network: Network, part_prefix: int) -> None:
        if not network.prefixlen <= part_prefix <= network.max_prefixlen:
            raise ValueError(f"/{part_prefix} is no part of {network}")
        self._network, self._part_prefix = network, part_prefix
        self._step = 1 << (network.max_prefixlen - part_prefix)
        self._count = 1 << (part_prefix - network.prefixlen)
        self._taken: set[int] = set()
        self._next = 0

    def __len__(self) -> int:
        """How many parts are left."""
        return self._count - len(self._taken)

    def take(self) -> str:
        """A free part, which is taken from now on. Raises RangeFull."""
        for offset in range(self._count):
            index = (self._next + offset) % self._count
            if index not in self._taken:
                self._taken.add(index)
                self._next = (index + 1) % self._count
                return f"{self._network[index * self._step]}/{self._part_prefix}"
        raise RangeFull(f"no /{self._part_prefix} is left in {self._network}")

    def occupy(self, cidr: str) -> None:
        """Mark a part as taken. One outside the network is ignored."""
        self._taken.update(self._indexes(cidr))

    def release(self, cidr: str) -> None:
        self._taken.difference_update(self._indexes(cidr))

    def _indexes(self, cidr: str) -> range:
        """All parts that overlap; several if it was allocated with another mask."""
        network = ip_network(cidr, strict=False)
        if network.version != self._network.version or not network.overlaps(self._network):
            return range(0)
        first = max(0, int(network[0]) - int(self._network[0])) // self._step
        last = min(int(network[-1]) - int(self._network[0]), self._count * self._step - 1) // self._step
        return range(first, last + 1)
