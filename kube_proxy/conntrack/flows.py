"""Keeps the kernel's memory of UDP flows in step with what is served.

``expect`` after each change of rules or endpoints, ``sweep`` after the rules are in place and now and then without
any news: an entry may have been made between a change and its rule. Where the kernel does not let us, services
work all the same, and clients with a fixed source port wait for their entry's end; that is said once.
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
        """Claimed before: flows to it are as stale as any."""
        self._told = False
        self.is_due = False
        """Whether something changed since the last sweep."""

    def expect(self, claims: Claims) -> None:
        """From now on datagrams lead where ``claims`` says."""
        if claims == self._claims:
            return
        self._gone |= {asked: _NOBODY for asked in self._claims if asked not in claims}
        self._claims = claims
        self.is_due = True

    async def sweep(self) -> int:
        """Remove the entries that lead elsewhere; how many those were."""
        claims = self._gone | dict(self._claims)
        if not claims:
            return 0
        is_local = cache(_is_local)
        try:
            removed = await remove(lambda entry: is_stale(entry, claims, is_local))
        except ConntrackError as exc:
            if not self._told:
                self._told = True
                log.warning("%s: UDP clients that keep their port may wait for minutes after a change", exc)
            return 0
        finally:
            self.is_due = False
        self._gone = {asked: claim for asked, claim in self._gone.items() if asked not in claims}
        if removed:
            log.info("conntrack: %d stale UDP entries removed", removed)
        return removed


def _is_local(address: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.bind((address, 0))
        return True
    return False
