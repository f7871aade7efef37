"""The kubectls that people have: today's over both of its carriers, and the oldest that is meant to work."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests import kubectls
from tests.integration.kubelet.cluster import Cluster

CARRIERS = ["websocket", "spdy", "old"]
"""``old`` is kubectl 1.20, which speaks SPDY over POST alone."""


class Kubectl:
    """One kubectl, in one namespace, over one carrier."""

    def __init__(self, cluster: Cluster, namespace: str, carrier: str) -> None:
        program = str(kubectls.program(kubectls.OLD)) if carrier == "old" else "kubectl"
        self.head = [program, f"--kubeconfig={cluster.kubeconfig}", f"--namespace={namespace}"]
        choice = str(carrier == "websocket").lower()
        names = ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS")
        self.environment = {**os.environ, **dict.fromkeys(names, choice), "HOME": str(cluster.directory)}

    async def start(self, *arguments: str, stdin: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *self.head, *arguments, stdin=stdin, stdout=pipe, stderr=pipe, env=self.environment
        )

    async def run(self, *arguments: str, stdin: bytes = b"", timeout: float = 60) -> tuple[int, bytes, str]:
        process = await self.start(*arguments)
        async with asyncio.timeout(timeout):
            out, err = await process.communicate(stdin)
        return process.returncode or 0, out, err.decode()

    @asynccontextmanager
    async def forwarding(self, pod: str, port: int) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
        """The local port that leads to the pod's."""
        process = await self.start("port-forward", pod, f":{port}")
        assert process.stdout is not None
        try:
            async with asyncio.timeout(10):
                line = (await process.stdout.readline()).decode()
            match = re.search(r"127\.0\.0\.1:(\d+)", line)
            assert match, line
            yield int(match[1]), process
        finally:
            process.terminate()
            await process.communicate()
