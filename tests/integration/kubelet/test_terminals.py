"""Terminals, half-closed input, many commands at once, the older channels, and the official Python client."""

import asyncio
import base64
import fcntl
import json
import os
import signal
import socket
import struct
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import aiohttp
import kubernetes.client
import kubernetes.config
import kubernetes.stream
import pytest

from apimachinery.types import core_v1
from kube_client import Client
from tests.integration.kubelet.cluster import SERVER, Cluster
from tests.integration.kubelet.kubectls import CARRIERS, Kubectl
from tests.integration.kubelet.pods import Pods, container
from tests.integration.kubelet.test_server import context, exec_in
from tests.integration.kubelet.test_streams import ECHO
from tests.support import eventually

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


@pytest.fixture(params=CARRIERS)
def kubectl(request: pytest.FixtureRequest, cluster: Cluster, namespace: str) -> Kubectl:
    return Kubectl(cluster, namespace, request.param)


@pytest.fixture
async def http(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=context(cluster, "admin"))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


class Terminal:
    """A person's: what is typed, what is shown, and its size."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.shown = ""
        os.set_blocking(master, False)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    async def shows(self, text: str) -> None:
        def look() -> bool:
            try:
                while data := os.read(self._master, 65536):
                    self.shown += data.decode(errors="replace")
            except (BlockingIOError, OSError):
                pass
            return text in self.shown

        try:
            await eventually(look, timeout=15)
        except AssertionError as exc:
            raise AssertionError(f"{text!r} is not shown: {self.shown!r}") from exc


@contextmanager
def terminal() -> Iterator[tuple[Terminal, int]]:
    """A terminal, and the end for a program."""
    master, slave = os.openpty()
    try:
        made = Terminal(master)
        made.resize(24, 80)
        yield made, slave
    finally:
        os.close(master)
        os.close(slave)


async def in_terminal(kubectl: Kubectl, slave: int, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *kubectl.head, *arguments, stdin=slave, stdout=slave, stderr=slave, env=kubectl.environment
    )


async def test_exec_in_a_terminal_that_changes_its_size(pods: Pods, kubectl: Kubectl) -> None:
    await pods.running("shell")
    with terminal() as (screen, slave):
        process = await in_terminal(kubectl, slave, "exec", "-it", "shell", "--", "sh")
        screen.type("until stty size | grep -q '24 80'; do sleep 0.1; done; echo first=$(stty size)\n")
        await screen.shows("first=24 80")
        screen.resize(41, 133)
        process.send_signal(signal.SIGWINCH)
        screen.type("until stty size | grep -q '41 133'; do sleep 0.1; done; echo second=$(stty size)\n")
        await screen.shows("second=41 133")
        screen.type("exit 3\n")
        async with asyncio.timeout(10):
            assert await process.wait() == 3


async def test_attach_to_a_terminal(pods: Pods, kubectl: Kubectl) -> None:
    await pods.running("console", container(command=["sh"], stdin=True, tty=True), restart_policy="Never")
    with terminal() as (screen, slave):
        process = await in_terminal(kubectl, slave, "attach", "-it", "console")
        screen.type("echo sum=$((40+2))\n")
        await screen.shows("sum=42")
        screen.type("exit 0\n")
        async with asyncio.timeout(10):
            await process.wait()
    await pods.until("console", lambda pod: pod.status.phase == "Succeeded")


async def test_what_is_said_after_the_input_has_ended_still_comes(pods: Pods, kubectl: Kubectl) -> None:
    await pods.running("late")
    script = "cat > /dev/null; sleep 0.5; echo after; exit 5"
    code, out, _ = await kubectl.run("exec", "-i", "late", "--", "sh", "-c", script, stdin=b"x" * 100_000)
    assert (code, out) == (5, b"after\n")


async def test_fifty_commands_at_once(pods: Pods, http: aiohttp.ClientSession, namespace: str) -> None:
    await pods.running("many")
    data = [os.urandom(20_000) for _ in range(50)]
    answers = await asyncio.gather(*(exec_in(http, namespace, "many", "cat", stdin=chunk) for chunk in data))
    assert [out for out, _, _ in answers] == data
    assert {status["status"] for _, _, status in answers} == {"Success"}


@pytest.mark.parametrize("protocol", ["v4.base64.channel.k8s.io", "base64.channel.k8s.io", "channel.k8s.io"])
async def test_the_older_channels(pods: Pods, http: aiohttp.ClientSession, namespace: str, protocol: str) -> None:
    await pods.running("old")
    asked = [("command", argument) for argument in ("sh", "-c", "read line; echo got $line; exit 4")]
    query = urlencode([("stdin", "1"), ("stdout", "1"), ("stderr", "1"), *asked])
    url = f"{SERVER}/api/v1/namespaces/{namespace}/pods/old/exec?{query}"
    said = {1: b"", 2: b"", 3: b""}
    async with asyncio.timeout(20), http.ws_connect(url, protocols=[protocol]) as ws:
        assert ws.protocol == protocol
        if "base64" in protocol:
            await ws.send_str("0" + base64.b64encode(b"hello\n").decode())
        else:
            await ws.send_bytes(b"\0hello\n")
        async for message in ws:
            if isinstance(message.data, str):
                said[int(message.data[0])] += base64.b64decode(message.data[1:])
            else:
                said[message.data[0]] += message.data[1:]
    assert said[1] == b"got hello\n"
    if protocol.startswith("v4"):
        assert json.loads(said[3])["details"]["causes"] == [{"reason": "ExitCode", "message": "4"}]
    else:
        assert b"exit status 4" in said[3]


@pytest.fixture
def official(cluster: Cluster) -> kubernetes.client.CoreV1Api:
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(str(cluster.kubeconfig), client_configuration=configuration)
    return kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(configuration))


async def test_the_official_python_client(pods: Pods, namespace: str, official: kubernetes.client.CoreV1Api) -> None:
    await pods.running("snake", container(command=ECHO))
    script = 'read line; echo "answer: $line"; exit 6'
    await pods.running("reader", container(command=["sh", "-c", f"while :; do ({script}); done"], stdin=True))

    def run() -> None:
        stream = kubernetes.stream.stream
        streams = {"stderr": True, "stdout": True, "stdin": True, "tty": False, "_preload_content": False}
        executed = stream(
            official.connect_get_namespaced_pod_exec, "snake", namespace, command=["sh", "-c", script], **streams
        )
        executed.write_stdin("from python\n")
        executed.run_forever(timeout=10)
        assert executed.read_stdout() == "answer: from python\n"
        assert executed.returncode == 6
        attached = stream(official.connect_get_namespaced_pod_attach, "reader", namespace, **streams)
        attached.write_stdin("attached\n")
        assert attached.readline_stdout(timeout=10) == "answer: attached"
        attached.close()
        forward = kubernetes.stream.portforward(
            official.connect_get_namespaced_pod_portforward, "snake", namespace, ports="7000"
        )
        connection: socket.socket = forward.socket(7000)
        connection.setblocking(True)
        data = os.urandom(300_000)
        connection.sendall(data[:1000])
        got = b""
        while len(got) < 1000:
            got += connection.recv(65536)
        assert got == data[:1000]
        assert forward.error(7000) is None
        connection.close()

    await asyncio.to_thread(run)
