"""Which remembered UDP flows lead nowhere. Pure.

The kernel asks the nat rules for the first datagram of a flow only; each later one renews the memory of that
answer. So a client that keeps its source port goes on sending to what the rules said first: to a proxy port that is
closed, to an endpoint that is gone, or to nobody at all if it began before there was a rule.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

Target = tuple[str | None, int]
"""Where datagrams end up: address (None for any of this node's own) and port."""


class Entry(NamedTuple):
    """One remembered flow: what the client asked, and who answers it."""

    asked: tuple[str, int]
    answers: tuple[str, int]
    handle: bytes = b""
    """The kernel's own words for the flow, to name it in a removal."""


@dataclass(frozen=True)
class Claim:
    """Where datagrams to one address and port may lead now; nowhere if ``targets`` is empty."""

    targets: frozenset[Target]


Claims = Mapping[Target, Claim]
"""By what clients ask for; the address None stands for every address, as for a node port."""


def is_stale(entry: Entry, claims: Claims, is_local: Callable[[str], bool]) -> bool:
    """Whether the flow is to one of ours, and leads elsewhere than it should."""
    claim = claims.get(entry.asked)
    if claim is None:
        claim = claims.get((None, entry.asked[1]))
        if claim is None or not is_local(entry.asked[0]):
            return False  # what only passes through this node may have such a port too
    return entry.answers not in claim.targets and (None, entry.answers[1]) not in claim.targets
