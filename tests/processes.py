"""Processes that tests start, and free ports."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.support import eventually

PATIENCE = 20.0
"""Seconds for a process to start, and to exit after a signal."""


class Process:
    """A command that can be started and stopped repeatedly, with its output in a file.

    Subclasses override ``ready`` to wait until the process serves.
    """

    def __init__(self, log: Path, *command: str, environment: Mapping[str, str] | None = None) -> None:
        self.log, self.command, self._environment = log, command, environment
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Start it without waiting until it serves."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self._environment)

    async def start(self) -> None:
        """Start it and wait until it serves."""
        self.spawn()
        await self.ready()

    async def ready(self) -> None:
        """Wait until it serves; does nothing unless overridden."""

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def pause(self) -> None:
        """SIGSTOP: its connections stay open, and it does not answer."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.send(signal.SIGCONT)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = PATIENCE) -> int | None:
        """Send the signal and wait for the exit status; None if it was not started.

        Raises:
            AssertionError: it did not exit within ``timeout`` seconds; it has been killed.
        """
        process, self._process = self._process, None
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.command[0]} did not exit within {timeout} s; its log is {self.log}") from None

    def kill(self) -> None:
        """SIGKILL."""
        self.stop(signal.SIGKILL)

    async def restart(self, number: signal.Signals = signal.SIGKILL) -> None:
        await asyncio.to_thread(self.stop, number)
        await self.start()

    def cpu_seconds(self) -> float:
        """CPU time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class HttpProcess(Process):
    """A process that answers HTTP on a port of loopback."""

    def __init__(self, log: Path, port: int, *command: str) -> None:
        super().__init__(log, *command)
        self._url = f"http://127.0.0.1:{port}"

    async def ready(self) -> None:
        await eventually(lambda: self.answers("/healthz"), timeout=PATIENCE)

    async def answers(self, path: str) -> bool:
        return (await self.get(path))[0] == 200

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text; status 0 when nothing listens."""
        async with httpx.AsyncClient(base_url=self._url, trust_env=False) as client:
            try:
                response = await client.get(path)
            except httpx.HTTPError:
                return 0, ""
            return response.status_code, response.text


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free for TCP and UDP. They are bound at the same time, so that all are different."""
    ports: list[int] = []
    with ExitStack() as stack:
        while len(ports) < count:
            tcp = stack.enter_context(socket.socket())
            udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
    return ports


def free_port() -> int:
    return free_ports(1)[0]
