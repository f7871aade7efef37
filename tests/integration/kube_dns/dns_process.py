"""kube-dns as a process on loopback."""

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from tests.integration.kube_dns.client import DnsClient
from tests.support import eventually


class DnsProcess:
    """Starts, kills and restarts one server, always on the same ports."""

    def __init__(self, directory: Path, kubeconfig: Path, *arguments: str) -> None:
        self.port, self._health = free_ports(2)
        self.dns = DnsClient(self.port)
        self.log = directory / f"kube-dns-{self.port}.log"
        self._arguments = [
            f"--kubeconfig={kubeconfig}",
            "--dns-bind-address=127.0.0.1",
            f"--dns-port={self.port}",
            "--healthz-bind-address=127.0.0.1",
            f"--healthz-port={self._health}",
            *arguments,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Return once it knows the services."""
        self.spawn()
        await eventually(lambda: self.answers("/ready"), timeout=20)

    def spawn(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "kube_dns", *self._arguments]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def stop(self, number: int = signal.SIGTERM) -> int | None:
        """The exit status."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(number)
        return process.wait(timeout=15)

    async def restart(self, number: int = signal.SIGKILL) -> None:
        await asyncio.to_thread(self.stop, number)
        await self.start()

    async def answers(self, path: str) -> bool:
        """Whether that path says that all is well."""
        return (await self.get(path))[0] == 200

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text; status 0 when nobody listens."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._health}", trust_env=False) as client:
            try:
                answer = await client.get(path)
            except httpx.HTTPError:
                return 0, ""
            return answer.status_code, answer.text


def free_ports(count: int) -> list[int]:
    """Ports that are free for TCP and UDP."""
    ports: list[int] = []
    while len(ports) < count:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in ports:
                ports.append(port)
    return ports
