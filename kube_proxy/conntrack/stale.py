"""Which UDP flows of the kernel's table are stale. Pure.

The kernel applies the nat rules to the first datagram of a flow only; every later one renews the entry. So a client that
keeps its source port goes on sending where the first rules sent it: to a proxy port that is closed, to an endpoint that
is gone, or nowhere at all if it began before there was a rule.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

Target = tuple[str | None, int]
"""Where datagrams end up: address (None for any of this node's own) and port."""


class Entry(NamedTuple):
    """One flow: the destination that the client chose, and the one that answers."""

    destination: tuple[str, int]
    responder: tuple[str, int]
    handle: bytes = b""
    """The flow in the kernel's own encoding, to name it in a removal."""


@dataclass(frozen=True)
class Claim:
    """Where datagrams to one address and port may go now; nowhere if ``targets`` is empty."""

    targets: frozenset[Target]


Claims = Mapping[Target, Claim]
"""By the clients' destination; the address None means every address of the node, as for a node port."""


def is_stale(entry: Entry, claims: Claims, is_local: Callable[[str], bool]) -> bool:
    """Whether the flow is to a service, and goes elsewhere than it should."""
    claim = claims.get(entry.destination)
    if claim is None:
        claim = claims.get((None, entry.destination[1]))
        if claim is None or not is_local(entry.destination[0]):
            return False  # what only passes through this node may have such a port too
    return entry.responder not in claim.targets and (None, entry.responder[1]) not in claim.targets
