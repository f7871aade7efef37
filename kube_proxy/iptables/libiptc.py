"""The legacy tables through libiptc, for userspace mode: the fastest way, but it knows few kinds of rules.

Promises that a change of any size is one atomic commit per table, made under the lock that the iptables commands
share; that a commit which fails because someone else changed the table is planned again from what it contains then;
and that everything of others stays as it is. All work happens on one thread: libiptc keeps an error and a cache
per process.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import iptc

from kube_proxy.iptables.backend import RuleTables, TablesError
from kube_proxy.iptables.chains import ALL_CHAINS, FILTER, IPTABLES_CHAINS, NAT, Chain, RuleSet
from kube_proxy.iptables.entry import decode, encode, encode_target
from kube_proxy.iptables.plan import (
    Append,
    CreateChain,
    Delete,
    DeleteChain,
    ExistingChains,
    ExistingRule,
    FlushChain,
    Insert,
    Step,
    entrances,
    plan,
    plan_cleanup,
)
from kube_proxy.iptables.rules import Jump, Rule

log = logging.getLogger(__name__)

T = TypeVar("T")

LOCK_FILE = os.environ.get("XTABLES_LOCKFILE", "/run/xtables.lock")
LOCK_PATIENCE = 5.0
"""Seconds to wait for another iptables command to finish."""
ATTEMPTS = 8

_TARGET_OFFSET = slice(88, 90)


@contextlib.asynccontextmanager
async def open_tables(chains: Sequence[Chain]) -> AsyncIterator[RuleTables]:
    """The legacy tables of this kernel.

    Raises:
        TablesError: there are none, or ``chains`` contain rules that ``entry`` cannot express.
    """
    if chains == IPTABLES_CHAINS:
        raise TablesError("iptables mode's rules take the iptables command")
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="iptables") as thread:
        tables = LibiptcTables(thread)
        await tables.rules()
        yield tables


class LibiptcTables:
    """An async face over the thread that owns the tables."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread = thread

    async def rules(self) -> list[Rule]:
        return await self._call(_rules)

    async def apply(self, desired: RuleSet, *, verify: bool = True) -> int:
        """The tables are verified in any case: libiptc reads a table before it writes it."""
        return await self._call(lambda: _apply(desired))

    async def cleanup(self) -> int:
        return await self._call(_cleanup)

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _apply(desired: RuleSet) -> int:
    # The refusing rules come first: a service that goes is refused before its redirection ends.
    return sum(_commit(table, partial(plan, table, desired)) for table in (FILTER, NAT))


def _cleanup() -> int:
    return sum(_commit(table, partial(plan_cleanup, table)) for table in (NAT, FILTER))


def _rules() -> list[Rule]:
    rules = []
    for name in (NAT, FILTER):
        chains = _read(_table(name), name)
        rules += [existing.rule for chain in ALL_CHAINS for existing in chains.get(chain.name, ()) if existing.rule]
    return rules


def _commit(name: str, make_plan: Callable[[ExistingChains], Sequence[Step]]) -> int:
    """Plan and commit until nothing is left to do; the number of steps taken."""
    for attempt in range(ATTEMPTS):
        try:
            with _lock():
                table = _table(name)
                steps = make_plan(_read(table, name))
                if steps:
                    for step in steps:
                        _perform(table, step)
                    table.commit()
                return len(steps)
        except iptc.IPTCError as exc:  # EAGAIN: a program that does not take the lock was faster
            log.info("iptables %s: %s; planning again", name, exc)
            time.sleep(0.005 * 2**attempt)
            failure = exc
    raise TablesError(f"iptables {name}: {failure}") from failure


def _table(name: str) -> Any:
    """The table as the kernel has it now, without what an earlier attempt did not commit."""
    try:
        table = iptc.Table(name, autocommit=False)
        table.refresh()
    except iptc.IPTCError as exc:
        raise TablesError(f"iptables {name}: {exc}") from exc
    return table


def _read(table: Any, name: str) -> ExistingChains:
    relevant = [*entrances(name), *(chain.name for chain in ALL_CHAINS if chain.table == name)]
    return {chain: list(_read_chain(table, chain)) for chain in relevant if table.is_chain(chain)}


def _read_chain(table: Any, chain: str) -> Iterator[ExistingRule]:
    entry = table.first_rule(chain)
    while entry:
        raw = ctypes.string_at(ctypes.addressof(entry), entry.next_offset)
        yield ExistingRule(decode(raw, (table.get_target(entry) or b"").decode()), raw)
        entry = table.next_rule(entry)


def _perform(table: Any, step: Step) -> None:
    match step:
        case CreateChain(chain):
            table.create_chain(chain)
        case FlushChain(chain):
            table.flush_entries(chain)
        case DeleteChain(chain):
            table.delete_chain(chain)
        case Append(chain, rule):
            table.append_entry(chain, encode(rule))
        case Insert(chain, rule):
            table.insert_entry(chain, encode(rule), 0)
        case Delete(chain, existing):
            entry = _deletable(existing)
            mask = (ctypes.c_ubyte * len(entry)).from_buffer_copy(b"\xff" * len(entry))
            table.delete_entry(chain, entry, mask)


def _deletable(existing: ExistingRule) -> bytes:
    """The entry as libiptc compares it: as it was read, but a jump by its chain's name instead of an offset."""
    assert existing.rule is not None
    if not isinstance(existing.rule.target, Jump):
        return existing.entry
    offset = int.from_bytes(existing.entry[_TARGET_OFFSET], sys.byteorder)
    return existing.entry[:offset] + encode_target(existing.rule.target)


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """The lock of the iptables commands (``iptables -w`` waits for it): the kernel notices a clash only when the
    number of rules differs."""
    deadline = time.monotonic() + LOCK_PATIENCE
    with open(LOCK_FILE, "w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TablesError(f"{LOCK_FILE}: held by another program for {LOCK_PATIENCE:.0f} s") from None
                time.sleep(0.01)
        yield
