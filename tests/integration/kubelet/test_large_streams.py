"""Much data through ``kubectl cp`` and ``port-forward``: bit for bit, in memory that does not grow with it.

``PEAPOD_STREAM_MIB`` says how much each of them carries: 64 if it is not set, 1024 for what is promised. What a run
measured is printed (``pytest -s``).
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apimachinery.types import core_v1
from kube_client import Client
from tests.integration.kubelet.cluster import Cluster
from tests.integration.kubelet.kubectls import CARRIERS, Kubectl
from tests.integration.kubelet.pods import Pods, container
from tests.integration.kubelet.test_streams import ECHO

MEBIBYTE = 1024 * 1024
SIZE = int(os.environ.get("PEAPOD_STREAM_MIB", "64")) * MEBIBYTE
TIMEOUT = 30 + SIZE / MEBIBYTE / 4
GROWTH = 24 * MEBIBYTE
"""Bytes that a daemon may need for streams, whatever they carry."""

pytestmark = [
    pytest.mark.timeout(60 + 3 * TIMEOUT),
]


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


@pytest.fixture(params=CARRIERS)
def kubectl(request: pytest.FixtureRequest, cluster: Cluster, namespace: str) -> Kubectl:
    return Kubectl(cluster, namespace, request.param)


@pytest.fixture(scope="module")
def data(cluster: Cluster) -> Path:
    """A file of chance."""
    path = cluster.file("data")
    with path.open("wb") as file:
        for _ in range(SIZE // MEBIBYTE):
            file.write(os.urandom(MEBIBYTE))
    return path


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def measured(cluster: Cluster, what: str) -> Iterator[None]:
    """The peak of each daemon's memory stays near where it was."""
    pids = {"kubelet": cluster.kubelet.pid, "apiserver": cluster.apiserver.pid}
    for pid in pids.values():
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
    before = {name: (peak(pid), cpu(pid)) for name, pid in pids.items()}
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    print(f"\n{what}: {SIZE / 1e6 / seconds:.0f} MB/s", end="")
    for name, pid in pids.items():
        grown = peak(pid) - before[name][0]
        print(
            f"; {name} {grown / MEBIBYTE:+.1f} MiB, {(cpu(pid) - before[name][1]) / SIZE * 1e9:.1f} s CPU a GB", end=""
        )
        assert grown < GROWTH, f"{name} grew by {grown} bytes"


def peak(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM"))


def cpu(pid: int) -> float:
    """Seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_cp_there_and_back(
    pods: Pods, kubectl: Kubectl, cluster: Cluster, data: Path, request: pytest.FixtureRequest
) -> None:
    await pods.running("box")
    name, back = request.node.name, data.with_name("back")
    with measured(cluster, f"{name} there"):
        code, _, err = await kubectl.run("cp", str(data), "box:/tmp/data", timeout=TIMEOUT)
    assert code == 0, err
    code, out, err = await kubectl.run("exec", "box", "--", "sha256sum", "/tmp/data", timeout=TIMEOUT)
    assert out.split()[:1] == [(await asyncio.to_thread(digest, data)).encode()], err
    with measured(cluster, f"{name} back"):
        code, _, err = await kubectl.run("cp", "box:/tmp/data", str(back), timeout=TIMEOUT)
    assert code == 0, err
    assert await asyncio.to_thread(digest, back) == await asyncio.to_thread(digest, data)
    back.unlink()
    await pods.delete("box", grace=0)


async def test_port_forward_both_ways_at_once(
    pods: Pods, kubectl: Kubectl, cluster: Cluster, data: Path, request: pytest.FixtureRequest
) -> None:
    await pods.running("echo", container(command=ECHO))
    async with kubectl.forwarding("echo", 7000) as (port, _), asyncio.timeout(TIMEOUT):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def send() -> None:
            with data.open("rb") as file:
                while chunk := file.read(MEBIBYTE):
                    writer.write(chunk)
                    await writer.drain()

        with measured(cluster, request.node.name):
            sending = asyncio.create_task(send())
            came, left = hashlib.sha256(), SIZE
            while left and (chunk := await reader.read(256 * 1024)):
                came.update(chunk)
                left -= len(chunk)
            await sending
        writer.close()
    assert left == 0
    assert came.hexdigest() == await asyncio.to_thread(digest, data)


async def test_a_reader_that_sleeps_holds_the_writer_back(pods: Pods, kubectl: Kubectl, cluster: Cluster) -> None:
    """An endless output that nobody takes is not collected anywhere."""
    await pods.running("endless")
    process = await kubectl.start("exec", "endless", "--", "cat", "/dev/zero")
    assert process.stdout is not None
    await process.stdout.readexactly(MEBIBYTE)
    pids = (cluster.kubelet.pid, cluster.apiserver.pid)
    settled = [(0, 0.0)] * 2
    async with asyncio.timeout(20):  # until nothing moves any more: back-pressure has reached the command
        while True:
            await asyncio.sleep(0.5)
            now = [(peak(pid), cpu(pid)) for pid in pids]
            if all(new[1] - old[1] < 0.1 and new[0] == old[0] for new, old in zip(now, settled, strict=True)):
                break
            settled = now
    process.kill()
    await process.communicate()
