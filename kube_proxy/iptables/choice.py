"""Which way the node's rules are written, by looking at the host."""

import contextlib
import logging
import shutil
from collections.abc import AsyncIterator
from typing import Protocol

from kube_proxy.iptables.command import CommandTables
from kube_proxy.iptables.rules import KERNEL_CHAINS, Rule, RuleSet
from kube_proxy.iptables.tables import Tables, TablesError

log = logging.getLogger(__name__)

BACKENDS = ("auto", "legacy", "nft")
_NFT_COMMANDS = ("iptables-nft", "iptables")
_COMMANDS = ("iptables-legacy", "iptables-nft")


class RuleTables(Protocol):
    """The one owner of our chains; see ``Tables``."""

    async def found(self) -> list[Rule]: ...
    async def apply(self, wanted: RuleSet, *, look: bool = True) -> int: ...
    async def cleanup(self) -> int: ...


@contextlib.asynccontextmanager
async def open_tables(backend: str = "auto") -> AsyncIterator[RuleTables]:
    """The legacy tables where this kernel has them (or ``backend`` says so), else the host's own iptables command.

    Raises:
        TablesError: the host has neither.
    """
    with Tables() as legacy:
        if backend != "nft":
            try:
                await legacy.found()
            except TablesError as exc:
                if backend == "legacy":
                    raise
                log.info("no legacy iptables here (%s)", exc)
            else:
                yield legacy
                return
    prefix = next((name for name in _NFT_COMMANDS if shutil.which(f"{name}-restore")), None)
    if prefix is None:
        raise TablesError("neither legacy iptables in this kernel nor an iptables command")
    log.info("rules are written by %s", prefix)
    yield CommandTables(prefix)


async def clean_up_everywhere() -> None:
    """Remove our chains wherever an earlier run may have written them.

    Raises:
        TablesError
    """
    commands = [name for name in _COMMANDS if shutil.which(f"{name}-restore")]
    for name in commands:
        await CommandTables(name).cleanup()
    if not commands:
        async with open_tables() as tables:
            await tables.cleanup()


def kernel_mode_tables(backend: str = "auto") -> CommandTables:
    """The chains of kernel mode, through the host's own iptables command or that of the back end asked for.

    Raises:
        TablesError: there is none.
    """
    prefix = "iptables" if backend == "auto" else f"iptables-{backend}"
    if shutil.which(f"{prefix}-restore") is None:
        raise TablesError(f"no {prefix}-restore on this host")
    return CommandTables(prefix, KERNEL_CHAINS)
