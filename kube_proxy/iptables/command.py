"""The node's rules through the host's own iptables commands: for hosts with nf_tables only, and for kernel mode.

Everything of others stays as it is, and no chain is ever seen half filled. A look plans from what is there, and mends
it; between two looks a change is planned from what was written last, which takes a fraction of the time where there
are thousands of services. A commit that fails, because someone else was there, is planned anew from a look.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import ParamSpec, TypeVar

from host_network import commands
from kube_proxy.iptables.plan import FoundChains, Step, batches, plan, plan_change, plan_cleanup
from kube_proxy.iptables.rules import CHAINS, FILTER, NAT, Chain, Rule, RuleSet, is_ours
from kube_proxy.iptables.tables import TablesError
from kube_proxy.iptables.text import parse_save, restore_input, rules_part

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

ATTEMPTS = 4
BATCH = 5000
"""Steps in one commit through nf_tables, where the time of a commit grows with the square of its size."""


class CommandTables:
    """Through ``<prefix>-save`` and ``<prefix>-restore``."""

    def __init__(self, prefix: str, declared: Sequence[Chain] = CHAINS) -> None:
        self._prefix = prefix
        self._declared = declared
        self._read_back: set[str] = set()
        self._standing: dict[str, RuleSet] = {}
        """By table, what was written last."""
        self._well: dict[str, int] = {}
        """By table, the hash of what the command showed when that stood."""
        self._batch = 0

    async def found(self) -> list[Rule]:
        """Every rule that stands in our chains now."""
        rules = []
        for table in (NAT, FILTER):
            chains = await self._read(table)
            rules += [one.rule for name in chains if is_ours(name) for one in chains[name] if one.rule]
        return rules

    async def apply(self, wanted: RuleSet, *, look: bool = True) -> int:
        """Make the tables say what is wanted. Returns the number of steps that took, 0 when all was well.

        Without ``look`` only what is wanted otherwise than the last time is written.

        Raises:
            TablesError: it could not be done now; trying again later is safe.
        """
        tables = {
            # The refusing rules come first: a service that goes is refused before its redirection ends.
            table: {chain: rules for chain, rules in wanted.items() if chain.table == table}
            for table in (FILTER, NAT)
        }
        if not look and all(table in self._standing for table in tables):
            try:
                return sum([await self._change(table, rules) for table, rules in tables.items()])
            except TablesError as exc:  # what was done to one table may have been done to the other
                log.info("%s; looking what is there", exc)
        return sum([await self._look(table, rules) for table, rules in tables.items()])

    async def _change(self, table: str, wanted: RuleSet) -> int:
        steps = plan_change(self._standing.pop(table), wanted)
        await self._write(table, steps)
        self._standing[table] = wanted
        return len(steps)

    async def _look(self, table: str, wanted: RuleSet) -> int:
        text = await self._save(table)
        shown, stood = hash(rules_part(text)), self._standing.pop(table, None) == wanted
        steps = 0
        if not stood or self._well.get(table) != shown:
            make_plan = partial(plan, table, wanted, declared=self._declared)
            if make_plan(parse_save(text)):
                steps = await self._commit(table, make_plan)
            else:
                self._well[table] = shown
        self._standing[table] = wanted
        return steps

    async def cleanup(self) -> int:
        """Remove all chains, rules and jumps of ours."""
        self._standing.clear()
        return sum([await self._commit(table, partial(plan_cleanup, table)) for table in (NAT, FILTER)])

    async def _commit(self, table: str, make_plan: Callable[[FoundChains], Iterable[Step]]) -> int:
        for attempt in range(ATTEMPTS):
            steps = list(make_plan(await self._read(table)))
            if not steps:
                return 0
            try:
                await self._write(table, steps)
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
            text = await self._save(table)
            if left := len(list(make_plan(parse_save(text)))):
                log.warning("%s %s: %d steps seem to be left right after a commit", self._prefix, table, left)
            else:
                self._well[table] = hash(rules_part(text))

    async def _write(self, table: str, steps: Sequence[Step]) -> None:
        if steps:
            self._well.pop(table, None)
        for batch in batches(steps, await self._batch_size()):
            await _in_thread(commands.iptables_restore, self._prefix, restore_input(table, batch))

    async def _batch_size(self) -> int:
        if not self._batch:
            version = await _in_thread(commands.run, f"{self._prefix}-restore", "--version")
            # To the legacy tables every commit is the whole table.
            self._batch = BATCH if "nf_tables" in version else sys.maxsize
        return self._batch

    async def _read(self, table: str) -> FoundChains:
        return parse_save(await self._save(table))

    async def _save(self, table: str) -> str:
        return await _in_thread(commands.iptables_save, self._prefix, table)


async def _in_thread(command: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    try:
        return await asyncio.to_thread(command, *arguments, **options)
    except commands.CommandError as exc:
        raise TablesError(str(exc)) from exc
