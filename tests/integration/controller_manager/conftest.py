"""A controller manager as a process, with short periods, in front of the test's own apiserver."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kube_client import Client
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.daemon_process import DaemonProcess

FLAGS = (
    "--allocate-node-cidrs=true",
    "--cluster-cidr=10.128.0.0/16",
    "--node-monitor-period=200ms",
    "--node-monitor-grace-period=2s",
    "--node-startup-grace-period=2s",
    "--node-eviction-rate=10",
)


@pytest.fixture
async def client(apiserver: ApiserverProcess) -> AsyncIterator[Client]:
    async with apiserver.client() as client:
        yield client


@pytest.fixture
async def controller_manager(tmp_path: Path, apiserver: ApiserverProcess) -> AsyncIterator[DaemonProcess]:
    process = DaemonProcess(tmp_path, "controller_manager", apiserver.kubeconfig, *FLAGS)
    try:
        await process.start()
        yield process
    finally:
        process.stop()
