"""The node's rules through the host's own iptables commands: for iptables mode, and for hosts with nf_tables only.

Verifying plans from what the tables contain, and repairs it; in between, a change is planned from what was written
last, which takes a fraction of the time where there are thousands of services. A commit that fails, because someone
else has changed the table, is planned again from what it contains.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import ParamSpec, TypeVar

from host_network import commands
from kube_proxy.iptables.backend import Opener, RuleTables, TablesError
from kube_proxy.iptables.chains import FILTER, NAT, Chain, RuleSet, is_ours
from kube_proxy.iptables.plan import ExistingChains, Step, batches, plan, plan_change, plan_cleanup
from kube_proxy.iptables.rules import Rule
from kube_proxy.iptables.text import parse_save, restore_input, rules_part

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

ATTEMPTS = 4
BATCH = 5000
"""Steps in one commit through nf_tables, where the time of a commit grows with the square of its size."""


def opener(prefix: str) -> Opener:
    """Opens the tables that ``<prefix>-save`` and ``<prefix>-restore`` read and write."""

    @contextlib.asynccontextmanager
    async def open_tables(chains: Sequence[Chain]) -> AsyncIterator[RuleTables]:
        tables = CommandTables(prefix, chains)
        await tables.rules()
        yield tables

    return open_tables


class CommandTables:
    """Through ``<prefix>-save`` and ``<prefix>-restore``."""

    def __init__(self, prefix: str, chains: Sequence[Chain]) -> None:
        self._prefix = prefix
        self._declared = chains
        self._read_back: set[str] = set()
        """Tables that were read back after a commit."""
        self._written: dict[str, RuleSet] = {}
        """By table, what was written last."""
        self._verified: dict[str, int] = {}
        """By table, the hash of the command's output when it contained that."""
        self._batch = 0

    async def rules(self) -> list[Rule]:
        rules = []
        for table in (NAT, FILTER):
            chains = await self._read(table)
            rules += [existing.rule for name in chains if is_ours(name) for existing in chains[name] if existing.rule]
        return rules

    async def apply(self, desired: RuleSet, *, verify: bool = True) -> int:
        tables = {
            # The refusing rules come first: a service that goes is refused before its redirection ends.
            table: {chain: rules for chain, rules in desired.items() if chain.table == table}
            for table in (FILTER, NAT)
        }
        if not verify and all(table in self._written for table in tables):
            try:
                return sum([await self._change(table, rules) for table, rules in tables.items()])
            except TablesError as exc:  # what was done to one table may have been done to the other
                log.info("%s; planning from what the tables contain", exc)
        return sum([await self._verify(table, rules) for table, rules in tables.items()])

    async def _change(self, table: str, desired: RuleSet) -> int:
        steps = plan_change(self._written.pop(table), desired)
        await self._write(table, steps)
        self._written[table] = desired
        return len(steps)

    async def _verify(self, table: str, desired: RuleSet) -> int:
        text = await self._save(table)
        printed, unchanged = hash(rules_part(text)), self._written.pop(table, None) == desired
        steps = 0
        if not unchanged or self._verified.get(table) != printed:
            make_plan = partial(plan, table, desired, declared=self._declared)
            if make_plan(parse_save(text)):
                steps = await self._commit(table, make_plan)
            else:
                self._verified[table] = printed
        self._written[table] = desired
        return steps

    async def cleanup(self) -> int:
        self._written.clear()
        return sum([await self._commit(table, partial(plan_cleanup, table)) for table in (NAT, FILTER)])

    async def _commit(self, table: str, make_plan: Callable[[ExistingChains], Iterable[Step]]) -> int:
        for attempt in range(ATTEMPTS):
            steps = list(make_plan(await self._read(table)))
            if not steps:
                return 0
            try:
                await self._write(table, steps)
            except TablesError as exc:  # someone else was faster, and a rule to delete is gone
                log.info("%s; planning again", exc)
                failure = exc
                await asyncio.sleep(0.02 * 2**attempt)
            else:
                await self._read_back_once(table, make_plan)
                return len(steps)
        raise failure

    async def _read_back_once(self, table: str, make_plan: Callable[[ExistingChains], Iterable[Step]]) -> None:
        """After the first commit: does this host's command print rules as ``text`` parses them? What was parsed once
        is cached, so that verifying is quick from then on."""
        if table not in self._read_back:
            self._read_back.add(table)
            text = await self._save(table)
            if left := len(list(make_plan(parse_save(text)))):
                log.warning("%s %s: %d steps are left right after a commit", self._prefix, table, left)
            else:
                self._verified[table] = hash(rules_part(text))

    async def _write(self, table: str, steps: Sequence[Step]) -> None:
        if steps:
            self._verified.pop(table, None)
        for batch in batches(steps, await self._batch_size()):
            await _in_thread(commands.iptables_restore, self._prefix, restore_input(table, batch))

    async def _batch_size(self) -> int:
        if not self._batch:
            version = await _in_thread(commands.run, f"{self._prefix}-restore", "--version")
            # To the legacy tables every commit is the whole table.
            self._batch = BATCH if "nf_tables" in version else sys.maxsize
        return self._batch

    async def _read(self, table: str) -> ExistingChains:
        return parse_save(await self._save(table))

    async def _save(self, table: str) -> str:
        return await _in_thread(commands.iptables_save, self._prefix, table)


async def _in_thread(command: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    try:
        return await asyncio.to_thread(command, *arguments, **options)
    except commands.CommandError as exc:
        raise TablesError(str(exc)) from exc
