"""A node and a pod as network namespaces that the test makes; the test runs in the node's."""

import contextlib
import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from host_network.routes import remove_service_route
from tests.integration.kube_proxy.lab import (
    BACKENDS,
    NODE_ADDRESS,
    POD_ADDRESS,
    POD_GATEWAY,
    Backend,
    Lab,
    Namespace,
    Proxy,
    endpoints,
    entered,
    ip,
    running_proxy,
    service,
)

_numbers = itertools.count(1)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Node and pod, joined by a veth pair; the test runs in the node."""
    if os.geteuid():
        pytest.skip("network namespaces need root")
    names = [f"peapod-test-{os.getpid()}-{next(_numbers)}-{role}" for role in ("node", "pod")]
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        node, pod = names
        ip("-n", node, "link", "add", "pods", "type", "veth", "peer", "name", "eth0", "netns", pod)
        ip("-n", node, "addr", "add", f"{POD_GATEWAY}/24", "dev", "pods")
        ip("-n", node, "addr", "add", f"{NODE_ADDRESS}/24", "dev", "lo")
        ip("-n", node, "link", "set", "pods", "up")
        ip("-n", pod, "addr", "add", f"{POD_ADDRESS}/24", "dev", "eth0")
        ip("-n", pod, "link", "set", "eth0", "up")
        ip("-n", pod, "route", "add", "default", "via", POD_GATEWAY)
        paths = [Path("/run/netns") / name for name in names]
        with entered(paths[0]):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            yield Lab(Namespace(paths[0]), Namespace(paths[1]))
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.fixture
async def backends(lab: Lab) -> AsyncIterator[list[Backend]]:
    """Three backends, a, b and c, on addresses of their own."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(Backend(name, f"{BACKENDS}{number}"))
            for number, name in enumerate("abc", start=1)
        ]


@pytest.fixture
async def proxy(lab: Lab, backends: list[Backend]) -> AsyncIterator[Proxy]:
    """A proxy that serves ``default/web`` at CLUSTER_IP:1234 with all backends."""
    async with running_proxy([service()], [endpoints(*(backend.endpoint for backend in backends))]) as proxy:
        yield proxy
    remove_service_route()
