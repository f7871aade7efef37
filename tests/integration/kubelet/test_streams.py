"""Exec, attach and port-forward as clients do them: kubectl over WebSockets and over SPDY, and the older channels."""

import asyncio
import hashlib
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from apimachinery.types import core_v1
from kube_client import Client
from tests.integration.kubelet.cluster import SERVER, Cluster
from tests.integration.kubelet.kubectls import CARRIERS, Kubectl
from tests.integration.kubelet.pods import Pods, container
from tests.integration.kubelet.test_server import context

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ECHO = ["sh", "-c", "exec nc -ll -p 7000 -e cat"]


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


@pytest.fixture(params=CARRIERS)
def kubectl(request: pytest.FixtureRequest, cluster: Cluster, namespace: str) -> Kubectl:
    return Kubectl(cluster, namespace, request.param)


async def exchange(port: int, data: bytes) -> bytes:
    """Send it all, half-close, and read what comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    got = bytearray()
    while len(got) < len(data) and (chunk := await reader.read(65536)):
        got += chunk
    await sending
    writer.close()
    return bytes(got)


async def test_exec(pods: Pods, kubectl: Kubectl) -> None:
    await pods.running("shell")
    script = "cat; echo oops >&2; exit 7"
    code, out, err = await kubectl.run("exec", "-i", "shell", "--", "sh", "-c", script, stdin=b"hello\n")
    assert (code, out) == (7, b"hello\n")
    assert "oops" in err
    data = os.urandom(8 * 1024 * 1024)
    code, out, _ = await kubectl.run("exec", "-i", "shell", "--", "cat", stdin=data)
    assert code == 0
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()


async def test_attach(pods: Pods, kubectl: Kubectl) -> None:
    script = 'while read line; do echo "got $line"; [ "$line" = end ] && exit 0; done'
    reader = container(command=["sh", "-c", script], stdin=True)
    await pods.running("listener", reader)
    code, out, err = await kubectl.run("attach", "-i", "listener", stdin=b"one\nend\n")
    assert code == 0, err
    assert out == b"got one\ngot end\n"


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A port on the node's loopback device that sends back what it gets; a pod of the host's network has it too."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=200)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_port_forward(pods: Pods, kubectl: Kubectl) -> None:
    await pods.running("echo", host_network=True)
    async with echo() as inside, kubectl.forwarding("echo", inside) as (port, _), asyncio.timeout(60):
        assert await exchange(port, b"hello") == b"hello"
        data = os.urandom(8 * 1024 * 1024)
        assert await exchange(port, data) == data
        many = [os.urandom(50_000) for _ in range(30)]
        assert await asyncio.gather(*(exchange(port, data) for data in many)) == many


async def test_port_forward_comes_from_localhost(pods: Pods, kubectl: Kubectl) -> None:
    await pods.running("local", container(command=["sh", "-c", "exec httpd -f -p 127.0.0.1:7000 -h /etc"]))
    async with kubectl.forwarding("local", 7000) as (port, _), asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /hostname HTTP/1.0\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\nlocal\n")
        writer.close()


async def test_port_forward_finds_nobody(pods: Pods, kubectl: Kubectl) -> None:
    await pods.running("deaf")
    async with kubectl.forwarding("deaf", 7000) as (port, process), asyncio.timeout(20):
        assert await exchange(port, b"anybody?") == b""
        assert process.stderr is not None
        assert "Connection refused" in (await process.stderr.readline()).decode()


async def test_port_forward_over_channels(pods: Pods, cluster: Cluster, namespace: str) -> None:
    listens = core_v1.Probe(tcp_socket=core_v1.TCPSocketAction(port=7000), period_seconds=1)
    await pods.running("channels", container(command=ECHO, readiness_probe=listens))
    connector = aiohttp.TCPConnector(ssl=context(cluster, "admin"))
    url = f"{SERVER}/api/v1/namespaces/{namespace}/pods/channels/portforward?ports=7000"
    async with (
        asyncio.timeout(20),
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(url, protocols=["v4.channel.k8s.io"]) as ws,
    ):
        heads = [await ws.receive_bytes(), await ws.receive_bytes()]
        assert heads == [bytes([n]) + struct.pack("<H", 7000) for n in (0, 1)]
        await ws.send_bytes(b"\0hello")
        assert await ws.receive_bytes() == b"\0hello"


async def test_what_cannot_be_forwarded(pods: Pods, cluster: Cluster, namespace: str) -> None:
    await pods.create("once", container(command=["true"]), restart_policy="Never")
    await pods.until("once", lambda pod: pod.status.phase == "Succeeded")
    kubectl = Kubectl(cluster, namespace, "spdy")
    code, _, err = await kubectl.run("port-forward", "once", ":80")
    assert code == 1
    assert "not running" in err or "Succeeded" in err


async def test_fifty_streams_at_once(pods: Pods, cluster: Cluster, namespace: str) -> None:
    await pods.running("busy", host_network=True)
    kubectl = Kubectl(cluster, namespace, "websocket")
    async with echo() as inside, kubectl.forwarding("busy", inside) as (port, _), asyncio.timeout(60):
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
        for n, (_, writer) in enumerate(connections):
            writer.write(f"{n:02d}".encode())
        assert [await reader.readexactly(2) for reader, _ in connections] == [f"{n:02d}".encode() for n in range(50)]
        for _, writer in connections:
            writer.close()
