"""Gives memory that a daemon has freed back to the kernel.

glibc gives memory back by itself only from the end of its heap, where one small object that lives on keeps all that
was freed below it: after thousands of connections have come and gone, nearly all of their memory would stay. So what
is free is counted every ``INTERVAL``, and when that has become much, it is given back, wherever it is.
"""

import asyncio
import ctypes
from ctypes import c_size_t
from typing import Final, NoReturn

INTERVAL: Final = 10.0
"""Seconds between two counts."""

_MUCH: Final = 8 * 1024 * 1024
"""Bytes. To give back takes some 10 ms for each 100 MB of heap, during which no other thread can allocate."""


class _Mallinfo2(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and newer."""

    _fields_ = [
        (name, c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


class FreeMemory:
    """What the C library holds although nothing uses it."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None)
        self._trim = getattr(libc, "malloc_trim", None)  # musl has neither
        self._count = getattr(libc, "mallinfo2", None)
        if self._count is not None:
            self._count.restype = _Mallinfo2
        self._kept = 0

    def give_back(self) -> bool:
        """Return free pages to the kernel if there have become many since the last time; whether that was done."""
        if self._trim is None or self._count is None:
            return False
        free = self._free()
        if free < self._kept + _MUCH:
            self._kept = min(self._kept, free)
            return False
        self._trim(0)
        self._kept = self._free()
        return True

    def _free(self) -> int:
        """Bytes in free blocks, including those whose pages have been given back."""
        assert self._count is not None
        return int(self._count().fordblks)


async def keep_giving_back() -> NoReturn:
    """Give free memory back until cancelled, in a thread: the event loop goes on as long as it needs no memory."""
    free = FreeMemory()
    while True:
        await asyncio.sleep(INTERVAL)
        await asyncio.to_thread(free.give_back)
