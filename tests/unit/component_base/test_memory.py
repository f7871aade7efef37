"""Memory that is freed goes back to the kernel."""

import os
from pathlib import Path

from component_base.memory import FreeMemory


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_what_was_freed_below_something_that_lives_on_goes_back() -> None:
    free = FreeMemory()
    free.give_back()
    blocks = [bytes(1000) for _ in range(100_000)]
    free.give_back()  # counts what is left of the memory that was free before
    kept = blocks[::500]
    del blocks
    held = resident()
    assert free.give_back()
    assert resident() < held - 60_000_000
    assert not free.give_back()  # there is nothing more
    assert len(kept) == 200
