"""The node's rules through the host's own iptables commands: for hosts with nf_tables only, and for kernel mode.

The same promises as ``tables``: a change of any size is one atomic commit per table, planned from what is there, and
everything of others stays as it is. What was read is planned from at once, and a commit that fails is planned anew.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from kube_proxy.iptables.plan import FoundChains, Step, plan, plan_cleanup
from kube_proxy.iptables.rules import CHAINS, FILTER, NAT, Chain, Rule, RuleSet, is_ours
from kube_proxy.iptables.tables import TablesError
from kube_proxy.iptables.text import parse_save, restore_input

log = logging.getLogger(__name__)

LOCK_PATIENCE = 5
"""Seconds to wait for another iptables command to finish."""
ATTEMPTS = 4


class CommandTables:
    """Through ``<prefix>-save`` and ``<prefix>-restore``."""

    def __init__(self, prefix: str, declared: Sequence[Chain] = CHAINS) -> None:
        self._prefix = prefix
        self._declared = declared
        self._read_back: set[str] = set()

    async def found(self) -> list[Rule]:
        """Every rule that stands in our chains now."""
        rules = []
        for table in (NAT, FILTER):
            chains = await self._read(table)
            rules += [one.rule for name in chains if is_ours(name) for one in chains[name] if one.rule]
        return rules

    async def apply(self, wanted: RuleSet) -> int:
        """Make the tables say what is wanted. Returns the number of steps that took, 0 when all was well.

        Raises:
            TablesError: it could not be done now; trying again later is safe.
        """
        # The refusing rules come first: a service that goes is refused before its redirection ends.
        steps = 0
        for table in (FILTER, NAT):
            steps += await self._commit(table, partial(plan, table, wanted, declared=self._declared))
        return steps

    async def cleanup(self) -> int:
        """Remove all chains, rules and jumps of ours."""
        return sum([await self._commit(table, partial(plan_cleanup, table)) for table in (NAT, FILTER)])

    async def _commit(self, table: str, make_plan: Callable[[FoundChains], Iterable[Step]]) -> int:
        for attempt in range(ATTEMPTS):
            steps = list(make_plan(await self._read(table)))
            if not steps:
                return 0
            text = restore_input(table, steps)
            try:
                await self._run(f"{self._prefix}-restore", "--noflush", "-w", str(LOCK_PATIENCE), text=text)
            except TablesError as exc:  # someone else was faster, and a rule to delete is gone
                log.info("%s; planning anew", exc)
                failure = exc
                await asyncio.sleep(0.02 * 2**attempt)
            else:
                await self._look_once(table, make_plan)
                return len(steps)
        raise failure

    async def _look_once(self, table: str, make_plan: Callable[[FoundChains], Iterable[Step]]) -> None:
        """After the first commit: does this host's command show rules as we understand them? Also, what is understood
        once is known from then on, so that the next look is quick."""
        if table not in self._read_back:
            self._read_back.add(table)
            if left := len(list(make_plan(await self._read(table)))):
                log.warning("%s %s: %d steps seem to be left right after a commit", self._prefix, table, left)

    async def _read(self, table: str) -> FoundChains:
        return parse_save(await self._run(f"{self._prefix}-save", "-t", table))

    async def _run(self, *command: str, text: str = "") -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                # uvloop's communicate never ends when it has nothing to send.
                stdin=asyncio.subprocess.PIPE if text else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as exc:
            raise TablesError(f"{command[0]}: {exc}") from exc
        output, complaint = await process.communicate(text.encode() or None)
        if process.returncode:
            raise TablesError(f"{' '.join(command)}: {complaint.decode(errors='replace').strip()}")
        return output.decode(errors="replace")
