"""What the node and its pods use: the kubelet's summary and metrics, ``metrics.k8s.io``, and ``kubectl top``."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import aiohttp
import pytest

from apimachinery import quantity
from apimachinery.types import core_v1
from kube_client import Client
from tests import kubectls
from tests.integration.kubelet.cluster import ADDRESS, NODE, SERVER, Cluster
from tests.integration.kubelet.pods import Pods, container
from tests.integration.kubelet.test_server import context
from tests.support import eventually

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

METRICS = f"{SERVER}/apis/metrics.k8s.io/v1beta1"
BUSY = ["sh", "-c", "while :; do :; done"]


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


@pytest.fixture
async def http(cluster: Cluster) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=context(cluster, "admin"))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def get(http: aiohttp.ClientSession, url: str, status: int = 200, **headers: str) -> Any:
    async with http.get(url, headers=headers) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json(content_type=None)


async def test_metrics_of_nodes_and_pods(pods: Pods, http: aiohttp.ClientSession, namespace: str) -> None:
    limited = container(command=BUSY, resources=core_v1.ResourceRequirements(limits={"cpu": "200m"}))
    await pods.running("busy", limited, container("side"))
    await pods.running("idle")
    place = f"{METRICS}/namespaces/{namespace}/pods"

    async def both() -> Any:
        """Two samples after the last container began."""
        by_name = {item["metadata"]["name"]: item for item in (await get(http, place))["items"]}
        return by_name if len(by_name) == 2 and len(by_name["busy"]["containers"]) == 2 else None

    measured = await eventually(both, timeout=40, interval=0.5)
    used = {container["name"]: container["usage"] for container in measured["busy"]["containers"]}
    assert 100 < quantity.milli(used["main"]["cpu"]) < 300
    assert quantity.milli(used["side"]["cpu"]) < 50
    assert 0 < quantity.value(used["side"]["memory"]) < 64 * 2**20
    assert re.fullmatch(r"\d+\.\d+s", measured["busy"]["window"])
    assert measured["busy"]["timestamp"]
    whole = await get(http, f"{METRICS}/pods")
    assert (whole["kind"], whole["apiVersion"]) == ("PodMetricsList", "metrics.k8s.io/v1beta1")
    assert {("busy", namespace), ("idle", namespace)} <= {
        (item["metadata"]["name"], item["metadata"]["namespace"]) for item in whole["items"]
    }
    assert (await get(http, f"{place}/idle"))["kind"] == "PodMetrics"
    assert (await get(http, f"{place}/nobody", 404))["details"]["group"] == "metrics.k8s.io"
    assert (await get(http, f"{place}?labelSelector=app%3Dnone"))["items"] == []
    (node,) = (await get(http, f"{METRICS}/nodes"))["items"]
    assert node["metadata"]["name"] == NODE
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == NODE
    assert quantity.milli(node["usage"]["cpu"]) > 100
    assert quantity.value(node["usage"]["memory"]) > 2**20
    # what kubectl 1.32 and others say that they take
    proto = await get(http, f"{METRICS}/nodes", Accept="application/vnd.kubernetes.protobuf, */*")
    assert proto["kind"] == "NodeMetricsList"
    table = await get(http, f"{METRICS}/nodes", Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "CPU", "Memory", "Window"]


async def test_discovery_lists_the_group(http: aiohttp.ClientSession) -> None:
    group = await get(http, f"{SERVER}/apis/metrics.k8s.io")
    assert group["preferredVersion"]["groupVersion"] == "metrics.k8s.io/v1beta1"
    rows = (await get(http, METRICS))["resources"]
    assert {(row["name"], row["kind"], tuple(row["verbs"])) for row in rows} == {
        ("nodes", "NodeMetrics", ("get", "list")),
        ("pods", "PodMetrics", ("get", "list")),
    }
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    names = [item["metadata"]["name"] for item in (await get(http, f"{SERVER}/apis", Accept=accept))["items"]]
    assert "metrics.k8s.io" in names


async def test_a_kubelet_that_does_not_answer_is_left_out(
    client: Client, http: aiohttp.ClientSession, node: core_v1.Node
) -> None:
    nodes = client.resource(core_v1.Node)
    await nodes.create(_node("silent"))
    addresses = [{"type": "InternalIP", "address": "192.0.2.1"}]
    await nodes.patch("silent", {"status": {"addresses": addresses}}, kind="merge", subresource="status")

    async def names() -> list[str]:
        """Empty until the kubelet that does answer has two samples."""
        async with asyncio.timeout(10):
            return [item["metadata"]["name"] for item in (await get(http, f"{METRICS}/nodes"))["items"]]

    assert await eventually(names, timeout=30, interval=0.5) == [NODE]
    await nodes.delete("silent")


def _node(name: str) -> core_v1.Node:
    made = core_v1.Node()
    made.metadata.name = name
    return made


async def test_the_kubelet_tells_prometheus(pods: Pods, http: aiohttp.ClientSession, namespace: str) -> None:
    probe = core_v1.Probe(exec=core_v1.ExecAction(command=["true"]), period_seconds=1)
    await pods.running("counted", container(readiness_probe=probe))

    async def text(path: str) -> str:
        async with http.get(f"https://{ADDRESS}:10250/metrics/{path}") as answer:
            assert answer.status == 200
            return await answer.text()

    async def has(path: str, name: str, *labels: str) -> bool:
        """Whether there is a line of that metric with a number and these labels, in any order."""
        lines = [line for line in (await text(path)).splitlines() if re.match(rf"{name}(\{{.*\}})? [\d.e+]+", line)]
        return any(all(label in line for label in labels) for line in lines)

    where = (f'namespace="{namespace}"', 'pod="counted"')
    main = ('container="main"', *where)
    for path, name, labels in (
        ("resource", "container_cpu_usage_seconds_total", main),
        ("resource", "pod_memory_working_set_bytes", where),
        ("resource", "node_cpu_usage_seconds_total", ()),
        ("cadvisor", "container_cpu_usage_seconds_total", (*main, 'cpu="total"')),
        ("cadvisor", "container_network_receive_bytes_total", (*where, 'interface="eth0"')),
        ("probes", "prober_probe_total", (*main, 'probe_type="Readiness"', 'result="successful"')),
        ("probes", "prober_probe_duration_seconds_count", main),
    ):
        await eventually(partial(has, path, name, *labels), interval=0.5)
    await pods.delete("counted")

    async def is_forgotten() -> bool:
        return namespace not in await text("resource") + await text("cadvisor") + await text("probes")

    await eventually(is_forgotten, interval=0.5)


@pytest.mark.parametrize("which", ["today", "old"])
async def test_kubectl_top(pods: Pods, cluster: Cluster, namespace: str, which: str) -> None:
    program = "kubectl" if which == "today" else str(await asyncio.to_thread(kubectls.program, kubectls.OLD))
    await pods.running("seen", container(), container("side"))

    async def top(*arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            program, f"--kubeconfig={cluster.kubeconfig}", "top", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "HOME": str(cluster.directory)},
        )  # fmt: skip
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    async def sampled() -> bool:
        code, out = await top("pods", "-n", namespace, "--containers")
        return code == 0 and "side" in out and "main" in out

    await eventually(sampled, timeout=40, interval=0.5)
    code, out = await top("nodes")
    assert code == 0, out
    assert re.search(rf"^{NODE} +\d+m +\d+% +\d+Mi +\d+%", out, re.MULTILINE), out
    code, out = await top("pods", "-A")
    assert re.search(rf"^{namespace} +seen +\d+m +\d+Mi", out, re.MULTILINE), out
    code, out = await top("pods", "-n", namespace, "-l", "app=none")
    assert "seen" not in out
    code, out = await top("pod", "-n", namespace, "seen")
    assert code == 0, out
