"""Fixtures: a real etcd, and an apiserver on it, as processes on loopback with their own data."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from apiserver.storage.etcd import Etcd, EtcdConfig
from apiserver.storage.etcd.errors import EtcdError
from tests.integration.apiserver_process import ApiserverProcess
from tests.processes import Process, free_ports


class EtcdServer(Process):
    """One etcd, always on the same ports and data."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        client_port, peer_port = free_ports(2)
        self.config = EtcdConfig(endpoints=(f"http://127.0.0.1:{client_port}",))  # tests may change it before the start
        self.data, self._peer, self._arguments = directory / "data", f"http://127.0.0.1:{peer_port}", arguments
        super().__init__(directory / "etcd.log")

    @property
    def url(self) -> str:
        return self.config.endpoints[0]

    def spawn(self) -> None:
        self.command = (
            "etcd",
            f"--data-dir={self.data}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={self._peer}",
            f"--initial-advertise-peer-urls={self._peer}",
            f"--initial-cluster=default={self._peer}",
            "--max-request-bytes=8388608",
            "--heartbeat-interval=50",
            "--election-timeout=500",
            "--logger=zap",
            *self._arguments,
        )
        super().spawn()

    async def ready(self) -> None:
        client = Etcd(self.config)
        try:
            await client.revision()
        except EtcdError as exc:
            raise AssertionError(f"etcd did not start, see {self.log}") from exc
        finally:
            await client.close()


@pytest.fixture
async def etcd(tmp_path: Path) -> AsyncIterator[EtcdServer]:
    server = EtcdServer(tmp_path)
    try:
        await server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
async def apiserver(tmp_path: Path, etcd: EtcdServer) -> AsyncIterator[ApiserverProcess]:
    server = ApiserverProcess(tmp_path, etcd.url)
    try:
        await server.start()
        yield server
    finally:
        server.kill()
