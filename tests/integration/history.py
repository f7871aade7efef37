"""etcd's own history, with which tests compare what watchers received."""

import asyncio

from apiserver.storage import Etcd
from apiserver.storage.etcd import Revision


async def history(etcd: Etcd, start: int, end: int) -> list[Revision]:
    """All revisions from ``start`` to ``end``, both included."""
    revisions: list[Revision] = []
    if start > end:
        return revisions
    stream = etcd.watch(start)
    async with asyncio.timeout(10):
        async for revision in stream:
            revisions.append(revision)
            if revision.number >= end:
                break
    await stream.aclose()
    return revisions
