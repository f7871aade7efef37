"""/portForward/{namespace}/{pod}: TCP connections to ports of a pod, as a process in it would make them to localhost.

Three carriers: SPDY (a pair of streams per connection, data and error, with one ``requestid``), the same tunnelled in a
WebSocket, and the older WebSocket protocol (two channels per port that the query names). Half-closes pass through.
"""

import asyncio
import base64
import binascii
import logging
import os
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.requests import Request

from apimachinery import errors, meta
from component_base.access import error_response
from component_base.bounded_log import BoundedLog
from component_base.spdy import SpdyConnection, SpdyStream, WebSocketTunnel, is_spdy
from component_base.websocket import HandshakeError, WebSocket
from kubelet.network.netns import connect_localhost
from kubelet.runtime import ContainerRecord
from kubelet.server.backend import Backend
from kubelet.server.responses import handshake_response

log = logging.getLogger(__name__)
client_log = BoundedLog(log)

PROTOCOL = "portforward.k8s.io"
TUNNEL = f"SPDY/3.1+{PROTOCOL}"
V4, V4_BASE64 = "v4.channel.k8s.io", "v4.base64.channel.k8s.io"

_CHUNK = 64 * 1024
_DIAL_SECONDS = 30.0


class PortForwardEndpoint:
    """An ASGI application of its own: after the upgrade there is no HTTP response."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        try:
            sandbox = self._sandbox(request)
            ports = _ports(request)
        except errors.ApiError as exc:
            await error_response(exc)(scope, receive, send)
            return
        try:
            if is_spdy(scope):
                await forward_streams(await SpdyConnection.accept(scope, [PROTOCOL]), sandbox)
                return
            socket = await WebSocket.accept(scope, [TUNNEL, V4, V4_BASE64])
        except HandshakeError as exc:
            await handshake_response(exc)(scope, receive, send)
            return
        async with socket:
            if socket.subprotocol == TUNNEL:
                await forward_streams(SpdyConnection(WebSocketTunnel(socket), PROTOCOL), sandbox)
            else:
                await ChannelForwarder(socket, sandbox, ports).run()

    def _sandbox(self, request: Request) -> ContainerRecord:
        """The running sandbox of the pod. Raises ``errors.ApiError``."""
        namespace, name = request.path_params["namespace"], request.path_params["pod"]
        pod = self._backend.find_pod(namespace, name)
        if pod is None:
            raise errors.NotFound(f'pod "{name}" not found in namespace "{namespace}" on this node')
        for record in self._backend.runtime.containers.of_pod(meta.uid_of(pod)):
            if record.is_sandbox and record.running:
                return record
        raise errors.BadRequest(f'pod "{name}" is not running')


def _ports(request: Request) -> list[int]:
    """Raises ``errors.BadRequest``."""
    texts = request.query_params.getlist("port")
    if any(not text.isdecimal() or not 0 < int(text) < 65536 for text in texts):
        raise errors.BadRequest(f"query parameter port: {texts} are not ports")
    return [int(text) for text in texts]


async def forward_streams(connection: SpdyConnection, sandbox: ContainerRecord) -> None:
    """Serve a SPDY connection until the client leaves."""
    tasks: set[asyncio.Task[None]] = set()
    halves: dict[str, SpdyStream] = {}
    async with connection:
        try:
            async for stream in connection.streams():
                # Clients older than the header open the two streams of a connection one after the other.
                request = stream.headers.get("requestid") or str((stream.id - 1) // 4)
                other = halves.pop(request, None)
                if other is None:
                    halves[request] = stream
                    continue
                pair = _forward_pair(connection, (other, stream), sandbox)
                task = asyncio.create_task(pair, name=f"port-forward {request}")
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _forward_pair(
    connection: SpdyConnection, pair: tuple[SpdyStream, SpdyStream], sandbox: ContainerRecord
) -> None:
    by_type = {stream.headers.get("streamtype"): stream for stream in pair}
    data, error = by_type.get("data"), by_type.get("error")
    try:
        if data is None or error is None:
            raise ConnectionResetError(f"streams of types {[*by_type]} are no pair")
        fault = await _forward(data.headers.get("port", ""), sandbox, data.receive, data.write, data.close_write)
        if fault:
            await error.write(fault.encode())
    except ConnectionError as exc:
        client_log.info("%s/%s: port-forward: %s", sandbox.pod_namespace, sandbox.pod_name, exc)
    except Exception:  # a fault in one connection must not end the client's others
        log.exception("%s/%s: port-forward failed", sandbox.pod_namespace, sandbox.pod_name)
    finally:
        for stream in pair:
            await stream.close_write()
            connection.forget(stream)


async def _forward(
    port: str,
    sandbox: ContainerRecord,
    read: Callable[[], Awaitable[bytes]],
    write: Callable[[bytes], Awaitable[None]],
    close_write: Callable[[], Awaitable[None]],
) -> str:
    """Carry one connection; an error message if it could not be made, else empty."""
    try:
        async with asyncio.timeout(_DIAL_SECONDS):
            reader, writer = await connect_localhost(sandbox.pid, int(port))
    except (OSError, ValueError, TimeoutError) as exc:
        reason = os.strerror(exc.errno) if isinstance(exc, OSError) and exc.errno else exc
        where = f"localhost:{port} inside the pod: {reason}"
        return f"error forwarding port {port} to pod {sandbox.pod_uid}, uid : failed to connect to {where}"

    async def up() -> None:
        while data := await read():
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def down() -> None:
        while data := await reader.read(_CHUNK):
            await write(data)
        await close_write()

    # Once the pod has closed, nothing reads what the client still sends; a client that has closed may still get data.
    ways = [asyncio.create_task(up(), name="port-forward-up"), asyncio.create_task(down(), name="port-forward-down")]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        if not ways[1].done() and ways[0].exception() is None:
            await asyncio.wait(ways[1:])
    finally:
        for task in ways:
            task.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        writer.close()
    return ""


class ChannelForwarder:
    """The older WebSocket protocol: for the n-th port, channel 2n carries data and 2n+1 errors."""

    def __init__(self, socket: WebSocket, sandbox: ContainerRecord, ports: list[int]) -> None:
        self._socket, self._sandbox, self._ports = socket, sandbox, ports
        self._text = socket.subprotocol == V4_BASE64
        self._received: list[asyncio.Queue[bytes]] = [asyncio.Queue(32) for _ in ports]

    async def run(self) -> None:
        """Until the client leaves."""
        with suppress(ConnectionError):
            for n, port in enumerate(self._ports):
                for channel in (2 * n, 2 * n + 1):
                    await self._send(channel, struct.pack("<H", port))
        tasks = [asyncio.create_task(self._forward(n)) for n in range(len(self._ports))]
        try:
            while (message := await self._socket.receive()) is not None:
                await self._take(message)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, message: bytes | str) -> None:
        try:
            if self._text:
                channel, data = int(message[:1]), base64.b64decode(message[1:], validate=True)
            else:
                raw = message.encode() if isinstance(message, str) else message
                channel, data = raw[0], bytes(raw[1:])
        except (ValueError, IndexError, binascii.Error) as exc:
            client_log.info("port-forward: not a message: %s; ignored", exc)
            return
        if channel % 2 == 0 and channel // 2 < len(self._ports) and data:
            await self._received[channel // 2].put(data)

    async def _forward(self, n: int) -> None:
        async def write(data: bytes) -> None:
            await self._send(2 * n, data)

        async def close_write() -> None:
            """A channel has no end of its own; the connection's end is the only one."""

        fault = await _forward(str(self._ports[n]), self._sandbox, self._received[n].get, write, close_write)
        with suppress(ConnectionError):
            if fault:
                await self._send(2 * n + 1, fault.encode())
            elif len(self._ports) == 1:
                await self._socket.close()

    async def _send(self, channel: int, data: bytes) -> None:
        if self._text:
            await self._socket.send(f"{channel}{base64.b64encode(data).decode()}")
        else:
            await self._socket.send(bytes([channel]) + data)
