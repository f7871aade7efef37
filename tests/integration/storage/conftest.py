"""A running Storage on a real etcd."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from apiserver.storage import Etcd, EtcdConfig, Storage
from tests.integration.conftest import EtcdServer


@asynccontextmanager
async def running(config: EtcdConfig) -> AsyncIterator[Storage]:
    """A Storage, as one apiserver has it, that runs within the block."""
    client = Etcd(config)
    storage = Storage(client, compaction_interval=0)
    runner = asyncio.create_task(storage.run())
    try:
        yield storage
    finally:
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)
        await client.close()


@pytest.fixture
def config(etcd: EtcdServer) -> EtcdConfig:
    return EtcdConfig(endpoints=(etcd.url,), request_timeout=3)


@pytest.fixture
async def storage(config: EtcdConfig) -> AsyncIterator[Storage]:
    async with running(config) as storage:
        yield storage
