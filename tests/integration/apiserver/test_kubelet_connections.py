"""Whom the apiserver takes for the kubelet of a node, and with which rights it appears there.

A Node object says where its kubelet listens, and a node that was taken over says what it likes. In a network namespace
of the tests' own, since a node's address is never on loopback.
"""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from tests.certificates import KeyPair
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer
from tests.integration.kubelet.cluster import ADDRESS, NEIGHBOUR, own_namespace

REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
NODES = "/api/v1/nodes"


class Cluster:
    """An apiserver on all addresses. One authority has signed everything, and the server's certificate for kubelets is
    an administrator's: what a node could gain by a lie is the most that there is."""

    def __init__(self, folder: Path, etcd: EtcdServer) -> None:
        self.server = ApiserverProcess(folder, etcd.url)
        self.authority = self.server.authority
        client = self.authority.issue("kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",))
        serving = self.authority.issue("wide", "kube-apiserver", addresses=("127.0.0.1", ADDRESS))
        self.server.command += (
            "--bind-address=0.0.0.0",
            f"--advertise-address={ADDRESS}",
            f"--tls-cert-file={serving.cert}",
            f"--tls-private-key-file={serving.key}",
            f"--kubelet-client-certificate={client.cert}",
            f"--kubelet-client-key={client.key}",
            f"--kubelet-certificate-authority={self.authority.cert}",
        )

    def kubelet(self, common_name: str, address: str = ADDRESS) -> KeyPair:
        """A serving certificate."""
        return self.authority.issue(common_name, common_name, ("system:nodes",), addresses=(address,))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if os.geteuid():
        pytest.skip("needs root")
    with own_namespace(f"kubelets-{os.getpid()}"):
        folder = tmp_path_factory.mktemp("kubelets")
        etcd = EtcdServer(folder)
        made = Cluster(folder, etcd)
        try:
            asyncio.run(etcd.start())
            asyncio.run(made.server.start())
            yield made
        finally:
            made.server.kill()
            etcd.kill()


@pytest.fixture
async def http(cluster: Cluster) -> AsyncIterator[httpx.AsyncClient]:
    """A user without any group."""
    async with cluster.server.http("ann") as client:
        yield client


async def make_node(http: httpx.AsyncClient, name: str, port: int, address: str = ADDRESS) -> None:
    """A node whose kubelet is said to listen there."""
    await http.delete(f"{NODES}/{name}")
    assert (await http.post(NODES, json={"metadata": {"name": name}})).status_code == 201
    status = {
        "addresses": [{"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    headers = {"content-type": "application/merge-patch+json"}
    answer = await http.patch(f"{NODES}/{name}/status", json={"status": status}, headers=headers)
    assert answer.status_code == 200, answer.text


@asynccontextmanager
async def listening(pair: KeyPair) -> AsyncIterator[tuple[int, list[str]]]:
    """A kubelet with this certificate: its port, and the paths of the requests that it gets."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(text="here")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, ADDRESS, 0, ssl_context=context).start()
    try:
        yield runner.addresses[0][1], seen
    finally:
        await runner.cleanup()


def code_and_message(answer: httpx.Response) -> tuple[int, str]:
    document: Any = answer.json()
    return answer.status_code, document.get("message", "")


async def test_a_node_that_points_at_the_apiserver_does_not_lend_its_users_the_servers_own_rights(
    cluster: Cluster, http: httpx.AsyncClient
) -> None:
    await make_node(http, "liar", cluster.server.port)
    for path in (f"{NODES}/liar/proxy", f"{NODES}/liar:{cluster.server.port}/proxy"):
        answer = await http.post(path + REVIEW, json={"kind": "SelfSubjectReview"})
        assert code_and_message(answer) == (400, "address not allowed")


async def test_a_kubelet_is_the_one_that_its_certificate_names(cluster: Cluster, http: httpx.AsyncClient) -> None:
    async with listening(cluster.kubelet("system:node:node-1")) as (port, seen):
        for name in ("node-1", "node-2"):
            await make_node(http, name, port)
        for path in (f"{NODES}/node-1/proxy/pods", f"{NODES}/node-1:{port}/proxy/pods"):
            assert (await http.get(path)).text == "here"
        seen.clear()
        code, message = code_and_message(await http.get(f"{NODES}/node-2/proxy/pods"))
        assert (code, message.partition(": ")[2]) == (503, "its certificate is not that of system:node:node-2")
        assert not seen


@pytest.mark.parametrize("subresource", ["log", "exec?command=id"])
async def test_streams_of_a_pod_go_to_no_kubelet_but_its_nodes(
    cluster: Cluster, http: httpx.AsyncClient, subresource: str
) -> None:
    async with listening(cluster.kubelet("system:node:node-1")) as (port, seen):
        await make_node(http, "node-2", port)
        spec = {"nodeName": "node-2", "containers": [{"name": "c", "image": "i"}]}
        await http.post("/api/v1/namespaces/default/pods", json={"metadata": {"name": "p"}, "spec": spec})
        code, message = code_and_message(await http.get(f"/api/v1/namespaces/default/pods/p/{subresource}"))
        assert (code, message.partition(": ")[2]) == (503, "its certificate is not that of system:node:node-2")
        assert not seen


async def test_a_certificate_for_another_address_is_nobodys(cluster: Cluster, http: httpx.AsyncClient) -> None:
    async with listening(cluster.kubelet("system:node:node-3", NEIGHBOUR)) as (port, seen):
        await make_node(http, "node-3", port)
        code, message = code_and_message(await http.get(f"{NODES}/node-3/proxy/pods"))
        assert (code, message.partition(": ")[2]) == (503, "TLS handshake failure")
        assert not seen


async def test_no_node_leads_to_what_else_listens_on_the_apiservers_machine(
    cluster: Cluster, http: httpx.AsyncClient
) -> None:
    async with listening(cluster.kubelet("kube-scheduler")) as (port, seen):
        await make_node(http, "liar", 10250)
        for path in (f"{NODES}/liar:{port}/proxy/metrics", f"{NODES}/https:liar:{port}/proxy/metrics"):
            assert code_and_message(await http.get(path)) == (400, "address not allowed")
        assert not seen
