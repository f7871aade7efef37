"""A scheduler as a process in front of the test's own apiserver."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kube_client import Client
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.daemon_process import DaemonProcess


@pytest.fixture
async def client(apiserver: ApiserverProcess) -> AsyncIterator[Client]:
    async with apiserver.client() as client:
        yield client


@pytest.fixture
async def scheduler(tmp_path: Path, apiserver: ApiserverProcess) -> AsyncIterator[DaemonProcess]:
    process = DaemonProcess(tmp_path, "scheduler", apiserver.kubeconfig)
    try:
        await process.start()
        yield process
    finally:
        process.stop()
