"""``proxy`` of nodes, pods and services: what they serve themselves, through the apiserver, whole and as it comes."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from apimachinery.types import core_v1, meta_v1
from kube_client import Client
from tests.integration.kubelet.cluster import ADDRESS, NODE, SERVER, Cluster
from tests.integration.kubelet.pods import Pods, container
from tests.integration.kubelet.test_server import context
from tests.support import eventually

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

NODES = f"{SERVER}/api/v1/nodes"
MEBIBYTE = 1024 * 1024


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


@pytest.fixture
async def http(cluster: Cluster, node: core_v1.Node) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=context(cluster, "admin"))
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        yield session


class Backend:
    """A web server on the node's address; what a process of a pod on the host's network would be."""

    def __init__(self) -> None:
        self.port = 0
        self.go = asyncio.Event()
        self.left = asyncio.Event()

    async def start(self) -> web.AppRunner:
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/echo{rest:.*}", self._echo)
        app.router.add_get("/slow", self._slow)
        app.router.add_get("/halves", self._halves)
        app.router.add_get("/moved", self._moved)
        app.router.add_get("/page", self._page)
        app.router.add_get("/ws", self._socket)
        app.router.add_post("/sum", self._sum)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, ADDRESS, 0)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner

    async def _echo(self, request: web.Request) -> web.Response:
        echoed = {"method": request.method, "target": request.raw_path, "headers": dict(request.headers)}
        echoed["body"] = (await request.read()).decode()
        return web.json_response(
            echoed, headers={"X-Own": "yes", "Access-Control-Allow-Origin": "*", "Keep-Alive": "9"}
        )

    async def _sum(self, request: web.Request) -> web.Response:
        digest, size = hashlib.sha256(), 0
        async for chunk in request.content.iter_chunked(65536):
            digest.update(chunk)
            size += len(chunk)
        return web.Response(text=f"{size} {digest.hexdigest()}")

    async def _slow(self, request: web.Request) -> web.StreamResponse:
        """One line at once, another on command, and then more until the client leaves."""
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            await answer.write(b"first\n")
            await self.go.wait()
            while True:
                await answer.write(b"second\n")
                await asyncio.sleep(0.01)
        finally:
            self.left.set()

    async def _halves(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "10"})
        await answer.prepare(request)
        await answer.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return answer

    async def _moved(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query["to"])

    async def _page(self, request: web.Request) -> web.Response:
        text = '<html><a class="x" href="/a?b=1">A</a><img src=/i.png><a href="rel">R</a><a href="https://else/x">E</a>'
        return web.Response(text=text, content_type="text/html")

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=["echo.example"])
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data)
        return socket


@pytest.fixture
async def backend(node: core_v1.Node) -> AsyncIterator[Backend]:
    made = Backend()
    runner = await made.start()
    yield made
    made.go.set()
    await runner.cleanup()


@pytest.fixture
async def base(client: Client, namespace: str, backend: Backend) -> str:
    """The backend as the endpoint of a service: to the apiserver it is on its own machine, where no node leads."""
    return await service(client, namespace, "echo", backend.port)


async def service(client: Client, namespace: str, name: str, port: int) -> str:
    """The proxy's URL of a service with an endpoint on the node's address."""
    metadata = meta_v1.ObjectMeta(name=name, namespace=namespace)
    spec = core_v1.ServiceSpec(ports=[core_v1.ServicePort(port=80)])
    await client.resource(core_v1.Service).create(core_v1.Service(metadata=metadata, spec=spec))
    subset = core_v1.EndpointSubset(
        addresses=[core_v1.EndpointAddress(ip=ADDRESS)], ports=[core_v1.EndpointPort(port=port)]
    )
    await client.resource(core_v1.Endpoints).create(core_v1.Endpoints(metadata=metadata, subsets=[subset]))
    return f"{SERVER}/api/v1/namespaces/{namespace}/services/{name}/proxy"


async def test_a_node_is_its_kubelet(http: aiohttp.ClientSession) -> None:
    for name in (NODE, f"{NODE}:10250", f"https:{NODE}:10250"):
        async with http.get(f"{NODES}/{name}/proxy/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok")
    async with http.get(f"{NODES}/nobody/proxy/healthz") as answer:
        assert answer.status == 404


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_with_path_query_and_body(http: aiohttp.ClientSession, base: str, method: str) -> None:
    url = f"{base}/echo/a%2Fb//c/?x=1&watch=true&dryRun=whatever&fieldManager=%00"
    headers = {"Accept": "text/plain", "X-Forwarded-For": "192.0.2.7", "Authorization": "Basic eDp5"}
    async with http.request(method, aiohttp.client.URL(url, encoded=True), data="body", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["X-Own"] == "yes"
        assert not {"Access-Control-Allow-Origin", "Keep-Alive"} & set(answer.headers)
        echoed = await answer.json()
    assert echoed["method"] == method
    assert echoed["target"] == "/echo/a%2Fb//c/?x=1&watch=true&dryRun=whatever&fieldManager=%00"
    assert echoed["body"] == "body"
    headers = {name.lower(): value for name, value in echoed["headers"].items()}
    assert "authorization" not in headers
    assert headers["x-forwarded-for"] == "192.0.2.7, 127.0.0.1"
    assert headers["x-forwarded-uri"].endswith("/proxy/echo/a%2Fb//c/")


async def test_head_has_no_body(http: aiohttp.ClientSession, base: str) -> None:
    async with http.head(f"{base}/page") as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, "103")
    async with http.get(f"{base}/echo") as answer:  # the connection is still of use
        assert answer.status == 200


async def test_a_body_of_64_mebibytes_is_not_collected(
    http: aiohttp.ClientSession, base: str, cluster: Cluster
) -> None:
    piece, count = os.urandom(MEBIBYTE), 64

    async def body() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield piece

    before = resident(cluster.apiserver.pid)
    async with http.post(f"{base}/sum", data=body()) as answer:
        text = await answer.text()
    digest = hashlib.sha256()
    for _ in range(count):
        digest.update(piece)
    assert text == f"{count * MEBIBYTE} {digest.hexdigest()}"
    assert resident(cluster.apiserver.pid) - before < 16 * MEBIBYTE


def resident(pid: int) -> int:
    """Bytes of a process's memory."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_an_answer_comes_as_it_is_written_and_ends_with_the_client(
    http: aiohttp.ClientSession, base: str, backend: Backend
) -> None:
    async with http.get(f"{base}/slow") as answer:
        assert await answer.content.readline() == b"first\n"
        backend.go.set()
        assert await answer.content.readline() == b"second\n"
        answer.close()
    await asyncio.wait_for(backend.left.wait(), 10)


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(http: aiohttp.ClientSession, base: str) -> None:
    with pytest.raises(aiohttp.ClientError):
        async with http.get(f"{base}/halves") as answer:
            await answer.read()


async def test_redirects_and_links_lead_through_the_proxy(
    http: aiohttp.ClientSession, base: str, backend: Backend
) -> None:
    prefix = base.removeprefix(SERVER)

    async def moved(to: str) -> str:
        async with http.get(f"{base}/moved", params={"to": to}, allow_redirects=False) as answer:
            assert answer.status == 302
            return answer.headers["Location"]

    assert await moved("/there?a=b") == f"{prefix}/there?a=b"
    assert await moved(f"http://{ADDRESS}:{backend.port}/there") == f"{prefix}/there"
    assert await moved("http://else.example/there") == "http://else.example/there"
    assert await moved("there") == "there"
    async with http.get(f"{base}/page") as answer:
        page = await answer.text()
    assert f'<a class="x" href="{prefix}/a?b=1">A</a><img src={prefix}/i.png><a href="rel">' in page
    assert '<a href="https://else/x">' in page
    async with http.get(f"{base}?x=1", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, f"{prefix}/?x=1")


async def test_upgraded_connections_pass(http: aiohttp.ClientSession, base: str) -> None:
    async with http.ws_connect(f"{base}/ws", protocols=["echo.example"]) as socket:
        assert socket.protocol == "echo.example"
        data = os.urandom(MEBIBYTE)
        await socket.send_bytes(data)
        assert await socket.receive_bytes() == data
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(f"{base}/nothing")
    assert refused.value.status == 404


async def test_nobody_is_there(http: aiohttp.ClientSession, client: Client, namespace: str) -> None:
    names = (f"{NODES}/{NODE}:9", f"{NODES}/{NODE}:http", f"{NODES}/ftp:{NODE}:21")
    for url, status in (
        (await service(client, namespace, "closed", 9), 503),
        *((f"{name}/proxy", 400) for name in names),
    ):
        async with http.get(f"{url}/x") as answer:
            status_object = await answer.json()
            assert (answer.status, status_object["kind"], status_object["code"]) == (status, "Status", status)
            if status == 503:
                assert status_object["reason"] == "ServiceUnavailable"
                assert "error trying to reach" in status_object["message"]


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "224.0.0.1", "0.0.0.0", "::ffff:127.0.0.1"])
async def test_addresses_that_are_not_a_nodes_are_refused(
    http: aiohttp.ClientSession, client: Client, address: str
) -> None:
    nodes = client.resource(core_v1.Node)
    name = f"liar-{abs(hash(address)) % 1000}"
    await nodes.create(core_v1.Node(metadata=meta_v1.ObjectMeta(name=name)))
    addresses = [{"type": "InternalIP", "address": address}]
    await nodes.patch(name, {"status": {"addresses": addresses}}, kind="merge", subresource="status")
    async with http.get(f"{NODES}/{name}:6443/proxy/healthz") as answer:
        assert (answer.status, (await answer.json())["message"]) == (400, "address not allowed")
    await nodes.delete(name)


async def test_a_pod_by_its_ports(pods: Pods, http: aiohttp.ClientSession, namespace: str) -> None:
    server = container(command=["sh", "-c", "exec httpd -f -p 7000 -h /etc"])
    server.ports = [core_v1.ContainerPort(container_port=7000)]
    await pods.running("web", server)
    place = f"{SERVER}/api/v1/namespaces/{namespace}/pods"
    for name in ("web", "web:7000", "http:web:7000", "http:web:"):

        async def answers(name: str = name) -> bool:
            async with http.get(f"{place}/{name}/proxy/hostname") as answer:
                return (answer.status, await answer.text()) == (200, "web\n")

        await eventually(answers)  # a running container listens a moment later
    async with http.get(f"{place}/web:7001/proxy/hostname") as answer:
        assert answer.status == 503
    async with http.get(f"{place}/nobody/proxy/hostname") as answer:
        assert answer.status == 404


async def test_a_service_by_its_ports_and_ready_endpoints(
    client: Client, http: aiohttp.ClientSession, namespace: str, backend: Backend
) -> None:
    ports = [core_v1.ServicePort(name="web", port=80), core_v1.ServicePort(name="admin", port=81)]
    spec = core_v1.ServiceSpec(ports=ports)
    metadata = meta_v1.ObjectMeta(name="shop", namespace=namespace)
    await client.resource(core_v1.Service).create(core_v1.Service(metadata=metadata, spec=spec))
    place = f"{SERVER}/api/v1/namespaces/{namespace}/services"

    async def get(name: str) -> tuple[int, str]:
        async with http.get(f"{place}/{name}/proxy/echo") as answer:
            return answer.status, await answer.text()

    status, text = await get("shop:web")
    assert status == 503
    assert 'no endpoints available for service \\"shop\\"' in text
    subset = core_v1.EndpointSubset(
        addresses=[core_v1.EndpointAddress(ip=ADDRESS)],
        not_ready_addresses=[core_v1.EndpointAddress(ip="192.0.2.1")],
        ports=[core_v1.EndpointPort(name="web", port=backend.port)],
    )
    await client.resource(core_v1.Endpoints).create(core_v1.Endpoints(metadata=metadata, subsets=[subset]))
    for name in ("shop:web", "shop:80", "http:shop:web", "http:shop:80"):
        assert (await get(name))[0] == 200
    for name, expected in (("shop:admin", 503), ("shop:82", 503), ("shop", 503), ("other:80", 404)):
        assert (await get(name))[0] == expected, name


async def test_discovery_tells_of_it(http: aiohttp.ClientSession) -> None:
    async with http.get(f"{SERVER}/api/v1") as answer:
        rows = {resource["name"]: resource for resource in (await answer.json())["resources"]}
    for name, kind in (("nodes", "Node"), ("pods", "Pod"), ("services", "Service")):
        row = rows[f"{name}/proxy"]
        assert row["kind"] == f"{kind}ProxyOptions"
        assert row["verbs"] == ["create", "delete", "get", "patch", "update"]
