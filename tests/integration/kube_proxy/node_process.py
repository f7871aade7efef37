"""One node's proxy in a process of its own, for tests with several nodes: ``python -m ... MODE``.

Takes lines of JSON from stdin, ``{"services": [...], "endpoints": [...]}`` with objects as the API spells them, serves
exactly these, and answers each line with ``ok`` once it is in effect. Ends with its stdin.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apimachinery import codec, meta
from apimachinery.types import core_v1
from tests.integration.kube_proxy.lab import Objects, T, entered, running_proxy


async def main(namespace: str, node: str, mode: str) -> None:
    loop = asyncio.get_running_loop()
    # Only now: an executor's thread of before would be in the other namespace.
    with entered(Path(namespace)):
        async with running_proxy(mode=mode, backend="auto", node=node) as proxy:
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                objects = json.loads(line)
                replace(proxy.services, objects["services"], core_v1.Service)
                replace(proxy.endpoints, objects["endpoints"], core_v1.Endpoints)
                await proxy.settled()
                print("ok", flush=True)


def replace(objects: Objects[T], documents: Sequence[Any], kind: type[T]) -> None:
    current = [codec.from_builtins(document, kind) for document in documents]
    names = {meta.name_of(obj) for obj in current}
    for gone in [meta.name_of(obj) for obj in objects.list() if meta.name_of(obj) not in names]:
        objects.delete(gone)
    for obj in current:
        objects.put(obj)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
