"""Logs and exec through the apiserver and the kubelet's own port, and who is let in there."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from apimachinery.types import authentication_v1, core_v1, meta_v1, rbac_v1
from kube_client import Client
from tests.integration.kubelet.cluster import ADDRESS, SERVER, Cluster, healthz
from tests.integration.kubelet.pods import Pods, container, is_ready, status_of
from tests.support import eventually

# aiohttp's client closes TLS connections a moment after its session has ended.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

KUBELET = f"https://{ADDRESS}:10250"
STDOUT, STDERR, ERROR, RESIZE = 1, 2, 3, 4


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


def context(cluster: Cluster, who: str | None) -> ssl.SSLContext:
    """For the apiserver as well as for the kubelet."""
    made = ssl.create_default_context(cafile=str(cluster.file("ca.crt")))
    made.load_verify_locations(cluster.file("kubelet-ca.crt"))
    if who:
        made.load_cert_chain(cluster.file(f"{who}.crt"), cluster.file(f"{who}.key"))
    return made


@pytest.fixture
async def http(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    """An administrator."""
    connector = aiohttp.TCPConnector(ssl=context(cluster, "admin"))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def exec_in(
    http: aiohttp.ClientSession,
    namespace: str,
    pod: str,
    *command: str,
    stdin: bytes | None = None,
    tty: bool = False,
    size: tuple[int, int] | None = None,
    protocol: str = "v5.channel.k8s.io",
) -> tuple[bytes, bytes, dict[str, Any]]:
    """Standard output, standard error, and the Status of the end."""
    asked = {"stdout": "true", "stderr": "true", "stdin": str(stdin is not None).lower(), "tty": str(tty).lower()}
    query = urlencode([*asked.items(), *(("command", argument) for argument in command)])
    url = f"{SERVER}/api/v1/namespaces/{namespace}/pods/{pod}/exec?{query}"
    out = {STDOUT: b"", STDERR: b"", ERROR: b""}
    async with asyncio.timeout(20), http.ws_connect(url, protocols=[protocol]) as socket:
        assert socket.protocol == protocol
        if size is not None:
            await socket.send_bytes(bytes([RESIZE]) + json.dumps({"Width": size[0], "Height": size[1]}).encode())

        async def feed(data: bytes) -> None:
            for start in range(0, len(data), 30_000):
                await socket.send_bytes(b"\0" + data[start : start + 30_000])
            await socket.send_bytes(bytes([255, 0]))

        async with asyncio.TaskGroup() as tasks:
            if stdin is not None:
                tasks.create_task(feed(stdin))
            async for message in socket:
                out[message.data[0]] += message.data[1:]
    return out[STDOUT], out[STDERR], json.loads(out[ERROR])


async def test_logs_of_a_container(pods: Pods, http: aiohttp.ClientSession, namespace: str) -> None:
    # The pauses keep the engine's own two readers from overtaking each other.
    script = "for i in 1 2 3; do echo out $i; sleep 0.05; echo err $i >&2; sleep 0.05; done; exec sleep 3600"
    await pods.running("talker", container(command=["sh", "-c", script]))
    url = f"{SERVER}/api/v1/namespaces/{namespace}/pods/talker/log"

    async def text(**query: str) -> str:
        async with http.get(url, params=query) as answer:
            assert answer.status == 200
            return await answer.text()

    async def whole() -> bool:
        return "err 3" in await text()

    await eventually(whole)
    assert await text() == "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n"
    assert await text(tailLines="2") == "out 3\nerr 3\n"
    assert await text(limitBytes="7") == "out 1\ne"
    assert (await text(timestamps="true")).splitlines()[0].endswith("Z out 1")
    assert await text(sinceSeconds="3600") == await text()
    assert await text(sinceTime="2100-01-01T00:00:00Z") == ""


async def test_followed_logs_come_line_by_line_and_end_with_the_container(
    pods: Pods, http: aiohttp.ClientSession, namespace: str
) -> None:
    script = "echo first; while [ ! -e /go ]; do sleep 0.05; done; echo last"
    await pods.running("follow", container(command=["sh", "-c", script]), restart_policy="Never")
    url = f"{SERVER}/api/v1/namespaces/{namespace}/pods/follow/log"
    async with asyncio.timeout(15), http.get(url, params={"follow": "true"}) as answer:
        assert await answer.content.readline() == b"first\n"
        await exec_in(http, namespace, "follow", "touch", "/go")
        assert await answer.content.readline() == b"last\n"
        assert await answer.content.readline() == b""


async def test_logs_of_the_container_before(pods: Pods, http: aiohttp.ClientSession, namespace: str) -> None:
    script = "echo I am $(cat /proc/uptime); sleep 0.2; exit 1"
    await pods.create("twice", container(command=["sh", "-c", script]))
    await pods.until("twice", lambda pod: status_of(pod).restart_count == 1 and status_of(pod).state.waiting)
    url = f"{SERVER}/api/v1/namespaces/{namespace}/pods/twice/log"
    async with http.get(url) as now, http.get(url, params={"previous": "true"}) as before:
        assert (now.status, before.status) == (200, 200)
        current, previous = await now.text(), await before.text()
    assert current.startswith("I am ")
    assert previous.startswith("I am ")
    assert current != previous


async def test_logs_that_cannot_be(pods: Pods, http: aiohttp.ClientSession, namespace: str) -> None:
    await pods.running("silent")
    url = f"{SERVER}/api/v1/namespaces/{namespace}/pods/silent/log"
    async with http.get(url, params={"previous": "true"}) as answer:
        assert answer.status == 400
        assert "previous terminated container" in (await answer.json())["message"]
    async with http.get(url, params={"tailLines": "many"}) as answer:
        assert answer.status == 400
    async with http.get(url, params={"tailLines": "-1"}) as answer:
        status = await answer.json()
    assert (answer.status, status["details"]["kind"]) == (422, "PodLogOptions")
    assert status["message"].endswith("tailLines: Invalid value: -1: must be greater than or equal to 0")


async def test_exec_tells_output_and_exit_code(pods: Pods, http: aiohttp.ClientSession, namespace: str) -> None:
    await pods.running("shell")
    out, err, status = await exec_in(http, namespace, "shell", "sh", "-c", "echo one; echo two >&2")
    assert (out, err, status["status"]) == (b"one\n", b"two\n", "Success")
    _, _, status = await exec_in(http, namespace, "shell", "sh", "-c", "exit 7", protocol="v4.channel.k8s.io")
    assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


async def test_exec_carries_stdin_to_its_end(pods: Pods, http: aiohttp.ClientSession, namespace: str) -> None:
    await pods.running("reader")
    data = b"0123456789abcde\n" * 50_000
    out, _, status = await exec_in(http, namespace, "reader", "cat", stdin=data)
    assert status["status"] == "Success"
    assert out == data


async def test_exec_in_a_terminal_has_its_size(pods: Pods, http: aiohttp.ClientSession, namespace: str) -> None:
    await pods.running("terminal")
    size = "stty -F /dev/tty size 2>/dev/null"  # it has none at first
    script = f"until {size} | grep -q '40 132'; do sleep 0.05; done; {size}"
    out, _, _ = await exec_in(http, namespace, "terminal", "sh", "-c", script, tty=True, size=(132, 40))
    assert out == b"40 132\r\n"


@pytest.mark.parametrize(
    ("who", "status"), [("admin", 200), ("apiserver-kubelet-client", 200), ("kubelet-client", 403), (None, 401)]
)
async def test_who_may_use_the_kubelet(cluster: Cluster, node: core_v1.Node, who: str | None, status: int) -> None:
    connector = aiohttp.TCPConnector(ssl=context(cluster, who))
    async with aiohttp.ClientSession(connector=connector) as session, session.get(f"{KUBELET}/pods") as answer:
        assert answer.status == status


async def test_a_token_opens_as_much_of_the_kubelet_as_its_account_may_see(
    cluster: Cluster, client: Client, node: core_v1.Node, namespace: str
) -> None:
    accounts = client.resource(core_v1.ServiceAccount)
    await accounts.create(core_v1.ServiceAccount(metadata=meta_v1.ObjectMeta(name="prometheus", namespace=namespace)))
    request = authentication_v1.TokenRequest()
    token = (await accounts.ask_subresource("prometheus", "token", request, namespace=namespace)).status.token
    name = f"{namespace}-metrics"
    rule = rbac_v1.PolicyRule(verbs=["get"], api_groups=[""], resources=["nodes/metrics"])
    role = rbac_v1.ClusterRole(metadata=meta_v1.ObjectMeta(name=name), rules=[rule])
    await client.resource(rbac_v1.ClusterRole).create(role)
    binding = rbac_v1.ClusterRoleBinding(
        metadata=meta_v1.ObjectMeta(name=name),
        role_ref=rbac_v1.RoleRef(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name=name),
        subjects=[rbac_v1.Subject(kind="ServiceAccount", name="prometheus", namespace=namespace)],
    )
    await client.resource(rbac_v1.ClusterRoleBinding).create(binding)
    connector = aiohttp.TCPConnector(ssl=context(cluster, None))
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {token}"}) as session:
        for path, status in (("/metrics/resource", 200), ("/pods", 403), ("/stats/summary", 403)):
            async with session.get(f"{KUBELET}{path}") as answer:
                assert answer.status == status, path
        async with session.get(f"{KUBELET}/metrics", headers={"Authorization": f"Bearer {token}x"}) as answer:
            assert answer.status == 401


async def test_the_kubelet_tells_its_pods_health_and_metrics(
    pods: Pods, http: aiohttp.ClientSession, node: core_v1.Node
) -> None:
    await pods.running("listed")
    async with http.get(f"{KUBELET}/pods") as answer:
        names = [item["metadata"]["name"] for item in (await answer.json())["items"]]
    assert "listed" in names
    assert await asyncio.to_thread(healthz) == "ok"
    text = await asyncio.to_thread(healthz, "/metrics")
    assert 'kubelet_node_name{node="node-1"} 1.0' in text
    assert is_ready(await pods.get("listed"))
