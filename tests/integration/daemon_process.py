"""A daemon as a process on loopback, with a real apiserver."""

import sys
from pathlib import Path

from tests.processes import HttpProcess, free_port


class DaemonProcess(HttpProcess):
    """One daemon, always on the same port; ``package`` is what ``python -m`` runs."""

    def __init__(self, directory: Path, package: str, kubeconfig: Path, *arguments: str) -> None:
        self.port = free_port()
        serving = ("--bind-address=127.0.0.1", f"--secure-port={self.port}")
        command = (sys.executable, "-m", package, f"--kubeconfig={kubeconfig}", *serving, *arguments)
        super().__init__(directory / f"{package}-{self.port}.log", self.port, *command)

    async def metrics(self) -> str:
        return (await self.get("/metrics"))[1]
