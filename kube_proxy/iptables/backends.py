"""Which back end writes the node's rules. A further one is a module of this package and a row of ``BACKENDS``."""

import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from kube_proxy.iptables import command, libiptc
from kube_proxy.iptables.backend import Opener, RuleTables, TablesError
from kube_proxy.iptables.chains import ALL_CHAINS, Chain

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backend:
    name: str
    tables: str
    """What ``--iptables-backend`` calls the tables that it writes; empty where only the host knows."""
    open: Opener


BACKENDS = (
    Backend("libiptc", "legacy", libiptc.open_tables),
    Backend("iptables", "", command.opener("iptables")),
    Backend("iptables-nft", "nft", command.opener("iptables-nft")),
    Backend("iptables-legacy", "legacy", command.opener("iptables-legacy")),
)
"""The first that works is taken."""

AUTO = "auto"
CHOICES = (AUTO, *sorted({backend.tables for backend in BACKENDS if backend.tables}))


@contextlib.asynccontextmanager
async def open_tables(chains: Sequence[Chain], tables: str = AUTO) -> AsyncIterator[RuleTables]:
    """The first back end that writes ``tables`` (any by default) and can write the mode's ``chains`` on this host.

    Raises:
        TablesError: there is none; the message has every back end's own reason.
    """
    reasons = []
    async with contextlib.AsyncExitStack() as stack:
        for backend in BACKENDS:
            if tables in (AUTO, backend.tables):
                try:
                    opened = await stack.enter_async_context(backend.open(chains))
                except TablesError as exc:
                    reasons.append(f"{backend.name}: {exc}")
                else:
                    log.info("iptables rules are written through %s", backend.name)
                    yield opened
                    return
    raise TablesError("; ".join(reasons))


async def clean_up_everywhere() -> None:
    """Remove our chains wherever an earlier run may have written them.

    Raises:
        TablesError
    """
    reasons = []
    for backend in reversed(BACKENDS):  # libiptc last: it does not know the chains of single services
        async with contextlib.AsyncExitStack() as stack:
            try:
                opened = await stack.enter_async_context(backend.open(ALL_CHAINS))
            except TablesError as exc:
                reasons.append(f"{backend.name}: {exc}")
            else:
                await opened.cleanup()
    if len(reasons) == len(BACKENDS):
        raise TablesError("; ".join(reasons))
