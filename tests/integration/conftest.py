"""A real etcd on loopback for whoever asks for ``etcd``: a process of its own with a data directory of its own."""

import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from apiserver.storage.etcd import Etcd, EtcdConfig
from apiserver.storage.etcd.errors import EtcdError
from tests.integration.apiserver_process import ApiserverProcess


class EtcdServer:
    """Starts, stops, kills and freezes one etcd, always on the same ports and data."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self._directory = directory
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        client, self._peer = _free_ports(2)
        self.config = EtcdConfig(endpoints=(f"http://127.0.0.1:{client}",))  # to be changed before the start

    @property
    def url(self) -> str:
        return self.config.endpoints[0]

    async def start(self) -> None:
        """Return once it answers."""
        self._spawn()
        await self._answers()

    def _spawn(self) -> None:
        peer = f"http://127.0.0.1:{self._peer}"
        with (self._directory / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "etcd",
                    f"--data-dir={self._directory / 'data'}",
                    f"--listen-client-urls={self.url}",
                    f"--advertise-client-urls={self.url}",
                    f"--listen-peer-urls={peer}",
                    f"--initial-advertise-peer-urls={peer}",
                    f"--initial-cluster=default={peer}",
                    "--max-request-bytes=8388608",
                    "--heartbeat-interval=50",
                    "--election-timeout=500",
                    "--logger=zap",
                    *self._arguments,
                ],
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """SIGKILL, as a power failure would end it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    async def restart(self) -> None:
        self.kill()
        await self.start()

    def pause(self) -> None:
        """Connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def _answers(self) -> None:
        client = Etcd(self.config)
        try:
            await client.revision()
        except EtcdError as exc:
            raise AssertionError(f"etcd did not start, see {self._directory}/etcd.log") from exc
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


def _free_ports(count: int) -> list[int]:
    # All held at once, else the system may give one out twice.
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture
async def apiserver(tmp_path: Path, etcd: EtcdServer) -> AsyncIterator[ApiserverProcess]:
    server = ApiserverProcess(tmp_path, etcd.url)
    try:
        await server.start()
        yield server
    finally:
        server.kill()
