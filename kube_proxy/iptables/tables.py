"""The one owner of the node's legacy iptables: nothing else in the daemon reads or writes them.

Promises that a change of any size is one atomic commit per table, made under the lock that the iptables commands
share; that a commit which fails because someone else changed the table is planned anew from what is there then;
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import iptc

from kube_proxy.iptables.entry import decode, encode, encode_target
from kube_proxy.iptables.plan import (
    Append,
    CreateChain,
    Delete,
    DeleteChain,
    FlushChain,
    Found,
    FoundChains,
    Insert,
    Step,
    entrances,
    plan,
    plan_cleanup,
)
from kube_proxy.iptables.rules import CHAINS, FILTER, KERNEL_CHAINS, NAT, Jump, Rule, RuleSet

log = logging.getLogger(__name__)

T = TypeVar("T")

LOCK_FILE = os.environ.get("XTABLES_LOCKFILE", "/run/xtables.lock")
LOCK_PATIENCE = 5.0
"""Seconds to wait for another iptables command to finish."""
ATTEMPTS = 8

_TARGET_OFFSET = slice(88, 90)


class TablesError(Exception):
    """The kernel, or someone who holds the lock, did not let us change or read the tables."""


class Tables:
    """An async face over the thread that owns the tables. Use it as a context manager."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="iptables")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._thread.shutdown(wait=True)

    async def found(self) -> list[Rule]:
        """Every rule that stands in our chains now."""
        return await self._call(_found_rules)

    async def apply(self, wanted: RuleSet, *, look: bool = True) -> int:
        """Make the tables say what is wanted. Returns the number of steps that took, 0 when all was well.

        What is there is looked at in any case: libiptc reads a table before it writes it.

        Raises:
            TablesError: it could not be done now; trying again later is safe.
        """
        return await self._call(lambda: _apply(wanted))

    async def cleanup(self) -> int:
        """Remove all chains, rules and jumps of ours."""
        return await self._call(_cleanup)

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _apply(wanted: RuleSet) -> int:
    # The refusing rules come first: a service that goes is refused before its redirection ends.
    return sum(_commit(table, partial(plan, table, wanted)) for table in (FILTER, NAT))


def _cleanup() -> int:
    return sum(_commit(table, partial(plan_cleanup, table)) for table in (NAT, FILTER))


def _found_rules() -> list[Rule]:
    found = []
    for name in (NAT, FILTER):
        chains = _read(_table(name), name)
        ours = (*CHAINS, *KERNEL_CHAINS)
        found += [there.rule for chain in ours for there in chains.get(chain.name, ()) if there.rule]
    return found


def _commit(name: str, make_plan: Callable[[FoundChains], Sequence[Step]]) -> int:
    """Plan and commit until nothing is left to do; the number of steps taken."""
    for attempt in range(ATTEMPTS):
        try:
            with _lock():
                table = _table(name)
                steps = make_plan(_read(table, name))
                if steps:
                    for step in steps:
                        _take(table, step)
                    table.commit()
                return len(steps)
        except iptc.IPTCError as exc:  # EAGAIN: who does not take the lock was faster
            log.info("iptables %s: %s; planning anew", name, exc)
            time.sleep(0.005 * 2**attempt)
            failure = exc
    raise TablesError(f"iptables {name}: {failure}") from failure


def _table(name: str) -> Any:
    """The table as the kernel has it now, without what an earlier attempt left undone."""
    try:
        table = iptc.Table(name, autocommit=False)
        table.refresh()
    except iptc.IPTCError as exc:
        raise TablesError(f"iptables {name}: {exc}") from exc
    return table


def _read(table: Any, name: str) -> FoundChains:
    relevant = [*entrances(name), *(chain.name for chain in (*CHAINS, *KERNEL_CHAINS) if chain.table == name)]
    return {chain: list(_read_chain(table, chain)) for chain in relevant if table.is_chain(chain)}


def _read_chain(table: Any, chain: str) -> Iterator[Found]:
    entry = table.first_rule(chain)
    while entry:
        raw = ctypes.string_at(ctypes.addressof(entry), entry.next_offset)
        yield Found(decode(raw, (table.get_target(entry) or b"").decode()), raw)
        entry = table.next_rule(entry)


def _take(table: Any, step: Step) -> None:
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
        case Delete(chain, found):
            entry = _deletable(found)
            mask = (ctypes.c_ubyte * len(entry)).from_buffer_copy(b"\xff" * len(entry))
            table.delete_entry(chain, entry, mask)


def _deletable(found: Found) -> bytes:
    """The entry as libiptc compares it: as found, but a jump by its chain's name instead of an offset."""
    assert found.rule is not None
    if not isinstance(found.rule.target, Jump):
        return found.entry
    offset = int.from_bytes(found.entry[_TARGET_OFFSET], sys.byteorder)
    return found.entry[:offset] + encode_target(found.rule.target)


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
