"""Streams of a pod's node: logs as they are written; exec, attach and port-forward over an upgraded connection.

The apiserver shows the kubelet a certificate of its own. It reads nothing of what goes through an upgraded
connection: whatever client and kubelet agreed on (WebSocket, SPDY) passes as bytes.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import httptools

from apimachinery import errors, meta
from apimachinery.types.core_v1 import Node, Pod
from apiserver.handlers.http import Request
from apiserver.handlers.verbs import Call
from apiserver.registry.store import Store
from component_base.streams import Stream, Upgrade

_DIAL_SECONDS: Final = 10.0
_CHUNK: Final = 64 * 1024
_HOP_BY_HOP: Final = ("host", "authorization", "connection", "content-length", "transfer-encoding", "accept-encoding")
_LOG_PARAMETERS: Final = (
    "follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes",
)  # fmt: skip
# the API's names of exec's parameters, and the kubelet's
_EXEC_PARAMETERS: Final = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
_DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True, slots=True)
class KubeletAddress:
    host: str
    port: int


class NodeProxy:
    """Finds a pod's kubelet and relays to it."""

    def __init__(self, nodes: Store[Node], tls: ssl.SSLContext | None) -> None:
        """``tls`` verifies the kubelets and shows them who asks; None leaves nodes out of reach."""
        self._nodes, self._tls = nodes, tls

    async def connect(self, call: Call, rest: Sequence[str]) -> None:
        """Serve ``log``, ``exec``, ``attach`` or ``portforward`` of a pod. Raises NotFound, BadRequest."""
        pod: Pod = (await call.store.get(call.key)).object
        await self._relay(call, pod, _target(call.request, call.attributes.subresource, pod))

    async def _relay(self, call: Call, pod: Pod, target: str) -> None:
        address = self._address(pod)
        reader, writer = await self._dial(address)
        try:
            upgrade: Upgrade | None = call.request.scope["extensions"].get("upgrade")
            writer.write(_head(call.request, target, address, upgraded=upgrade is not None))
            answer = await _read_head(reader)
            if answer.code == 101 and upgrade is not None:
                stream = await upgrade.accept(answer.headers)
                await _splice(stream, reader, writer, answer.rest)
            else:
                await _relay_body(call.request, answer, reader)
        except (OSError, httptools.HttpParserError) as fault:
            if call.request.code == 0:
                raise errors.ServiceUnavailable(f"the kubelet of {pod.spec.node_name} broke off: {fault}") from fault
        finally:
            writer.close()

    def _address(self, pod: Pod) -> KubeletAddress:
        name = pod.spec.node_name
        if not name:
            raise errors.BadRequest(f"pod {meta.name_of(pod)} does not have a host assigned")
        stored = self._nodes.cache.get(self._nodes.info.storage_key(meta.Key("", name)))
        if stored is None:
            raise errors.not_found("nodes", "", name)
        status = stored.object.status
        port = status.daemon_endpoints.kubelet_endpoint.port if status.daemon_endpoints.kubelet_endpoint else 10250
        for kind in ("InternalIP", "Hostname"):
            for one in status.addresses or ():
                if one.type == kind:
                    return KubeletAddress(one.address, port)
        raise errors.ServiceUnavailable(f"node {name} has no address")

    async def _dial(self, address: KubeletAddress) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._tls is None:
            raise errors.ServiceUnavailable(
                "this server was not given --kubelet-client-certificate, so it cannot reach the nodes' kubelets"
            )
        try:
            async with asyncio.timeout(_DIAL_SECONDS):
                return await asyncio.open_connection(address.host, address.port, ssl=self._tls, limit=_CHUNK)
        except (OSError, TimeoutError) as fault:
            raise errors.ServiceUnavailable(
                f"the kubelet at {address.host}:{address.port} cannot be reached: {fault}"
            ) from fault


def _target(request: Request, subresource: str, pod: Pod) -> str:
    """The kubelet's own path and query for what the API calls a subresource."""
    place = "/".join(quote(part, safe="") for part in meta.key_of(pod))
    if subresource == "portforward":
        ports = [("port", port) for one in request.query_lists.get("ports", ()) for port in one.split(",")]
        return f"/portForward/{place}?{urlencode(ports)}"
    container = quote(_container(pod, request.query.get("container", "")), safe="")
    if subresource == "log":
        query = {name: request.query[name] for name in _LOG_PARAMETERS if name in request.query}
        return f"/containerLogs/{place}/{container}?{urlencode(query)}"
    return f"/{subresource}/{place}/{container}?{_exec_query(request)}"


def _container(pod: Pod, wanted: str) -> str:
    """The container that is meant; a pod with several must be told which, or say so itself."""
    known = [
        one.name
        for group in (pod.spec.init_containers, pod.spec.containers, pod.spec.ephemeral_containers)
        for one in group or ()
    ]
    name = meta.name_of(pod)
    if wanted:
        if wanted not in known:
            raise errors.BadRequest(f"container {wanted} is not valid for pod {name}")
        return wanted
    main = [one.name for one in pod.spec.containers]
    default = meta.annotations_of(pod).get(_DEFAULT_CONTAINER)
    if default in known:
        return str(default)
    if len(main) > 1:
        raise errors.BadRequest(f"a container name must be specified for pod {name}, choose one of: [{' '.join(main)}]")
    return main[0]


def _exec_query(request: Request) -> str:
    pairs = [("command", one) for one in request.query_lists.get("command", ())]
    pairs += [(theirs, "1") for ours, theirs in _EXEC_PARAMETERS.items() if request.flag(ours)]
    return urlencode(pairs)


def _head(request: Request, target: str, address: KubeletAddress, *, upgraded: bool) -> bytes:
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {address.host}:{address.port}"]
    lines += [
        f"{name}: {value}"
        for name, value in ((k.decode("latin-1"), v.decode("latin-1")) for k, v in request.scope["headers"])
        if name not in _HOP_BY_HOP
    ]
    lines += ["Connection: Upgrade" if upgraded else "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")


class _Answer:
    """A reply's head as httptools' parser reports it, and the body it has seen."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self.rest = b""
        self.code = 0
        self.head_done = False
        self.done = False
        self.parser: Any = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.code = self.parser.get_status_code()
        self.head_done = True

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        self.done = True

    def feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.rest = data[upgrade.args[0] :]

    def taken(self) -> bytes:
        data, self.body = b"".join(self.body), []
        return data


async def _read_head(reader: asyncio.StreamReader) -> _Answer:
    answer = _Answer()
    while not answer.head_done:
        data = await reader.read(_CHUNK)
        if not data:
            raise ConnectionResetError("the connection was closed before an answer")
        answer.feed(data)
    return answer


async def _relay_body(request: Request, answer: _Answer, reader: asyncio.StreamReader) -> None:
    """Pass the body on as it comes, until it ends or the client leaves."""
    kept = [(name, value) for name, value in answer.headers if name == b"content-type"]
    await request.start(answer.code, kept)
    client = asyncio.create_task(_client_leaves(request))
    try:
        while not answer.done:
            if data := answer.taken():
                await request.chunk(data)
            read = asyncio.ensure_future(reader.read(_CHUNK))
            await asyncio.wait((read, client), return_when=asyncio.FIRST_COMPLETED)
            if not read.done():
                read.cancel()
                return
            if not (data := read.result()):
                break
            answer.feed(data)
        await request.chunk(answer.taken(), more=False)
    finally:
        client.cancel()


async def _client_leaves(request: Request) -> None:
    """Returns when nobody reads the answer any more, or the server stops."""
    stopping = asyncio.ensure_future(request.scope["state"]["stopping"].wait())
    try:
        while True:
            message = asyncio.ensure_future(request.receive())
            await asyncio.wait((message, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not message.done():
                message.cancel()
                return
            if message.result()["type"] == "http.disconnect":
                return
    finally:
        stopping.cancel()


async def _splice(stream: Stream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes) -> None:
    """Bytes both ways until one side is done."""

    async def up() -> None:
        while data := await stream.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def down() -> None:
        stream.write(first)
        while data := await reader.read(_CHUNK):
            stream.write(data)
            await stream.drain()

    tasks = [asyncio.create_task(up()), asyncio.create_task(down())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        stream.close()
