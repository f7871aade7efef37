"""Keeps the kernel's table of UDP flows consistent with the services.

``expect`` after each change of rules or endpoints, ``sweep`` after the rules are in place, and periodically
without any change: an entry may have been made between a change and its rule. Where the kernel does not permit it, services
work all the same, and clients with a fixed source port wait until their entry expires; that is logged once.
"""

import contextlib
import logging
import socket
from functools import cache

from kube_proxy.conntrack.stale import Claim, Claims, Target, is_stale
from kube_proxy.conntrack.table import ConntrackError, remove

log = logging.getLogger(__name__)

_NOBODY = Claim(frozenset())


class UdpFlows:
    def __init__(self) -> None:
        self._claims: Claims = {}
        self._gone: dict[Target, Claim] = {}
        """Destinations no longer claimed: all flows to them are stale."""
        self._warned = False
        self.is_due = False
        """Whether something changed since the last sweep."""

    def expect(self, claims: Claims) -> None:
        """From now on datagrams may go where ``claims`` allows."""
        if claims == self._claims:
            return
        self._gone |= {destination: _NOBODY for destination in self._claims if destination not in claims}
        self._claims = claims
        self.is_due = True

    async def sweep(self) -> int:
        """Remove the entries of flows that go elsewhere; how many those were."""
        claims = self._gone | dict(self._claims)
        if not claims:
            return 0
        is_local = cache(_is_local)
        try:
            removed = await remove(lambda entry: is_stale(entry, claims, is_local))
        except ConntrackError as exc:
            if not self._warned:
                self._warned = True
                log.warning("%s: UDP clients that keep their port may wait for minutes after a change", exc)
            return 0
        finally:
            self.is_due = False
        self._gone = {destination: claim for destination, claim in self._gone.items() if destination not in claims}
        if removed:
            log.info("conntrack: %d stale UDP entries removed", removed)
        return removed


def _is_local(address: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.bind((address, 0))
        return True
    return False
