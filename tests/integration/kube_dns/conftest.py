"""kube-dns as a process in front of the test's own apiserver, with no server to forward to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kube_client import Client
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.kube_dns.dns_process import DnsProcess

SERVICE_IP, ADVERTISED = "10.0.0.10", "192.0.2.10"


@pytest.fixture
async def client(apiserver: ApiserverProcess) -> AsyncIterator[Client]:
    async with apiserver.client() as client:
        yield client


@pytest.fixture
async def kube_dns(tmp_path: Path, apiserver: ApiserverProcess) -> AsyncIterator[DnsProcess]:
    process = DnsProcess(
        tmp_path,
        apiserver.kubeconfig,
        "--resolv-conf=",
        f"--register-service={SERVICE_IP}",
        f"--advertise-address={ADVERTISED}",
    )
    try:
        await process.start()
        yield process
    finally:
        process.stop()
