"""kube-dns as a process on loopback."""

import sys
from pathlib import Path

import httpx

from tests.integration.kube_dns.client import DnsClient
from tests.processes import PATIENCE, HttpProcess, free_ports
from tests.support import eventually


class DnsProcess(HttpProcess):
    """One server, always on the same ports."""

    def __init__(self, directory: Path, kubeconfig: Path, *arguments: str) -> None:
        self.port, health, self._metrics_port = free_ports(3)
        self.dns = DnsClient(self.port)
        command = (
            sys.executable,
            "-m",
            "kube_dns",
            f"--kubeconfig={kubeconfig}",
            "--dns-bind-address=127.0.0.1",
            f"--dns-port={self.port}",
            "--healthz-bind-address=127.0.0.1",
            f"--healthz-port={health}",
            f"--metrics-port={self._metrics_port}",
            *arguments,
        )
        super().__init__(directory / f"kube-dns-{self.port}.log", health, *command)

    async def ready(self) -> None:
        """Return once it knows the services."""
        await eventually(lambda: self.answers("/ready"), timeout=PATIENCE)

    async def metrics(self) -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"http://127.0.0.1:{self._metrics_port}/metrics")).text
