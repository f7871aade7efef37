"""An apiserver whose first revisions nobody can watch from any more."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apiserver.storage.etcd import Etcd
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer

LONG_AGO = "2"
"""A resourceVersion that is gone."""


@contextmanager
def aged_apiserver(directory: Path) -> Iterator[ApiserverProcess]:
    etcd = EtcdServer(directory)
    server = ApiserverProcess(directory, etcd.url)
    try:
        asyncio.run(_age(etcd, server))
        yield server
    finally:
        server.kill()
        etcd.kill()


async def _age(etcd: EtcdServer, server: ApiserverProcess) -> None:
    await etcd.start()
    await server.start()
    client = Etcd(etcd.config)
    try:
        await client.compact(await client.revision())
    finally:
        await client.close()
    await server.restart()  # and what it kept in memory is gone as well
