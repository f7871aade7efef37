"""``kubectl logs`` in all its ways, today's and the old one's, through the engine's rotation of the files."""

import asyncio
import base64
import re

import aiohttp
import pytest

from apimachinery.types import core_v1
from kube_client import Client
from tests.integration.kubelet.cluster import SERVER, Cluster
from tests.integration.kubelet.kubectls import Kubectl
from tests.integration.kubelet.pods import Pods, container, pod, status_of
from tests.integration.kubelet.test_server import context
from tests.support import eventually

# The pauses keep the engine's own two readers of output and error from overtaking each other.
TALK = "for i in 1 2 3; do echo out $i; sleep 0.05; echo err $i >&2; sleep 0.05; done; exec sleep 3600"
LINES = 20_000


@pytest.fixture(scope="module", autouse=True)
def small_files(cluster: Cluster) -> None:
    """Containers' logs are rotated at a fraction of what the tests write."""
    kubelet = cluster.kubelet
    kubelet.command = (*kubelet.command, "--container-log-max-size=512Ki", "--container-log-max-files=8")
    cluster.restart_kubelet()


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


@pytest.fixture(params=["websocket", "old"])
def kubectl(request: pytest.FixtureRequest, cluster: Cluster, namespace: str) -> Kubectl:
    return Kubectl(cluster, namespace, request.param)


async def logs(kubectl: Kubectl, *arguments: str) -> list[str]:
    code, out, err = await kubectl.run("logs", *arguments)
    assert code == 0, err
    return out.decode().splitlines()


async def test_parts_of_a_log(pods: Pods, kubectl: Kubectl) -> None:
    await pods.running("talker", container(command=["sh", "-c", TALK]))

    async def whole() -> list[str] | None:
        lines = await logs(kubectl, "talker")
        return lines if len(lines) == 6 else None

    assert await eventually(whole) == [f"{word} {n}" for n in (1, 2, 3) for word in ("out", "err")]
    assert await logs(kubectl, "talker", "--tail=2") == ["out 3", "err 3"]
    assert await logs(kubectl, "talker", "--tail=0") == []
    assert await logs(kubectl, "talker", "--limit-bytes=7") == ["out 1", "e"]
    assert len(await logs(kubectl, "talker", "--since=1h")) == 6
    stamped = await logs(kubectl, "talker", "--timestamps")
    moments = [line.split()[0] for line in stamped]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", moment) for moment in moments)
    assert moments == sorted(moments)
    assert await logs(kubectl, "talker", "--since-time=2100-01-01T00:00:00Z") == []
    assert len(await logs(kubectl, "talker", f"--since-time={moments[0][:19]}Z")) == 6


async def test_several_containers_and_pods(pods: Pods, kubectl: Kubectl, client: Client, namespace: str) -> None:
    for name in ("one", "two"):
        containers = [
            container(side, command=["sh", "-c", f"echo {name} {side}; exec sleep 3600"]) for side in ("left", "right")
        ]
        talking = pod(namespace, name, *containers)
        talking.metadata.labels = {"app": "talk"}
        await client.resource(core_v1.Pod).create(talking)
    for name in ("one", "two"):
        await pods.until(name, lambda pod: pod.status.phase == "Running")

    async def all_said(*arguments: str) -> set[str] | None:
        lines = set(await logs(kubectl, *arguments))
        return lines if len(lines) == 4 else None

    assert await eventually(lambda: all_said("-l", "app=talk", "--all-containers")) == {
        f"{name} {side}" for name in ("one", "two") for side in ("left", "right")
    }
    assert sorted(await logs(kubectl, "one", "--all-containers")) == ["one left", "one right"]
    assert await logs(kubectl, "one", "-c", "right") == ["one right"]
    prefixed = await logs(kubectl, "-l", "app=talk", "--all-containers", "--prefix")
    assert "[pod/two/left] two left" in prefixed
    code, _, err = await kubectl.run("logs", "one", "-c", "nobody")
    assert code == 1
    assert "container nobody is not valid for pod one" in err


async def test_the_log_of_the_container_before(pods: Pods, kubectl: Kubectl) -> None:
    await pods.create("twice", container(command=["sh", "-c", "echo $(cat /proc/uptime); sleep 0.2; exit 1"]))
    await pods.until("twice", lambda pod: status_of(pod).restart_count == 1 and status_of(pod).state.waiting)
    now, before = await logs(kubectl, "twice"), await logs(kubectl, "twice", "--previous")
    assert len(now) == len(before) == 1
    assert now != before


async def test_following_goes_on_through_rotation(pods: Pods, kubectl: Kubectl, cluster: Cluster) -> None:
    script = f"until [ -e /go ]; do sleep 0.05; done; for i in $(seq {LINES}); do echo line number $i; done; echo end"
    await pods.running("writer", container(command=["sh", "-c", f"{script}; exec sleep 3600"]))
    process = await kubectl.start("logs", "-f", "writer")
    assert process.stdout is not None
    code, _, err = await kubectl.run("exec", "writer", "--", "touch", "/go")
    assert code == 0, err
    got: list[str] = []
    async with asyncio.timeout(60):
        while (line := (await process.stdout.readline()).decode()) and line != "end\n":
            got.append(line)
    process.terminate()
    await process.communicate()
    assert len(got) == LINES
    assert got == [f"line number {i}\n" for i in range(1, LINES + 1)]
    folder = cluster.directory / "docker" / "containers"
    assert any(len(list(directory.glob("*-json.log*"))) > 2 for directory in folder.iterdir()), "nothing was rotated"
    assert (await logs(kubectl, "writer", "--tail=3")) == [f"line number {i}" for i in (LINES - 1, LINES)] + ["end"]


@pytest.mark.parametrize("protocol", ["", "binary.k8s.io", "base64.binary.k8s.io"])
async def test_a_log_over_a_websocket(pods: Pods, cluster: Cluster, namespace: str, protocol: str) -> None:
    await pods.running("talker", container(command=["sh", "-c", "echo one; exec sleep 3600"]))
    url = f"{SERVER}/api/v1/namespaces/{namespace}/pods/talker/log"
    connector = aiohttp.TCPConnector(ssl=context(cluster, "admin"))
    received = b""
    async with (
        asyncio.timeout(60),
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(f"{url}?follow=true", protocols=[protocol] if protocol else ()) as ws,
    ):
        assert (ws.protocol or "") == protocol
        while received != b"one\n":
            message = await ws.receive()
            received += base64.b64decode(message.data) if protocol.startswith("base64") else message.data
            assert b"one\n".startswith(received)
    async with (
        asyncio.timeout(60),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context(cluster, "admin"))) as session,
        session.ws_connect(url, protocols=[protocol] if protocol else ()) as ws,
    ):
        kinds = [message.type async for message in ws]
        assert len(kinds) >= 2  # the empty message, and the log; then it was closed
        assert ws.close_code == 1000
