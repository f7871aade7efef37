"""What etcd itself says that happened: the truth that watchers are held against."""

import asyncio

from apiserver.storage import Etcd
from apiserver.storage.etcd import Revision


async def history(etcd: Etcd, start: int, end: int) -> list[Revision]:
    """Everything from one revision to another, both included."""
    found: list[Revision] = []
    if start > end:
        return found
    stream = etcd.watch(start)
    async with asyncio.timeout(10):
        async for revision in stream:
            found.append(revision)
            if revision.number >= end:
                break
    await stream.aclose()
    return found
