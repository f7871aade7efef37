"""A daemon as a process on loopback, beside a real apiserver."""

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support import eventually


class DaemonProcess:
    """Starts, kills and restarts one daemon, always on the same port; ``package`` is what ``python -m`` runs."""

    def __init__(self, directory: Path, package: str, kubeconfig: Path, *arguments: str) -> None:
        self.port = _free_port()
        self.log = directory / f"{package}-{self.port}.log"
        self._command = [
            sys.executable,
            "-m",
            package,
            f"--kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            *arguments,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Return once it says that it is healthy."""
        self.spawn()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False) as client:

            async def healthy() -> bool:
                try:
                    return (await client.get("/healthz")).status_code == 200
                except httpx.HTTPError:
                    return False

            await eventually(healthy, timeout=20)

    def spawn(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def stop(self, number: int = signal.SIGTERM) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(timeout=15)

    async def restart(self, number: int = signal.SIGKILL) -> None:
        await asyncio.to_thread(self.stop, number)
        await self.start()

    async def metrics(self) -> str:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False) as client:
            return (await client.get("/metrics")).text

    def cpu_seconds(self) -> float:
        """CPU time that it has used so far."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
