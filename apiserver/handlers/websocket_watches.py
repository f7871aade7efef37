"""Watches over WebSocket, for web pages: each event is one text frame with what would be a line of a stream."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from apimachinery import errors
from apimachinery.types.objects import KubeObject
from apiserver.authentication.authenticators import subprotocols
from apiserver.handlers.watches import Left, Watch
from apiserver.storage import Event, ObjectWatch
from component_base.websocket import HandshakeError, WebSocket


class WebSocketWatch(Watch):
    """One client's stream on an upgraded connection."""

    _socket: WebSocket | None = None

    async def run(self) -> None:
        """Stream until the client leaves, the time is up or the server stops."""
        try:
            with suppress(ConnectionResetError):  # a client that disconnects is no error
                await super().run()
        finally:
            if self._socket is not None:
                await self._socket.close()

    async def _begin(self) -> None:
        offered = subprotocols(self._request.headers.get("sec-websocket-protocol", ""))
        try:
            self._socket = await WebSocket.accept(self._request.scope, offered)
        except HandshakeError as fault:
            raise errors.BadRequest(str(fault)) from fault
        self._request.code = 101

    async def _write(self, data: bytes) -> None:
        assert self._socket is not None
        for line in data.splitlines():
            await self._socket.send(line.decode())

    async def _finish(self) -> None:
        assert self._socket is not None
        await self._socket.close()

    @contextmanager
    def _ending(self, subscription: ObjectWatch[KubeObject]) -> Iterator[None]:
        tasks = [asyncio.create_task(self._end(subscription, ended)) for ended in (self._client_leaves, self._stopping)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    async def _end(self, subscription: ObjectWatch[KubeObject], ended: Callable[[], Awaitable[None]]) -> None:
        await ended()
        subscription.end(Left("the client disconnected, or the server stops"))

    async def _client_leaves(self) -> None:
        assert self._socket is not None
        while await self._socket.receive() is not None:
            pass  # what a client sends is ignored

    async def _stopping(self) -> None:
        await self._request.scope["state"]["stopping"].wait()

    def _hand_over(self, event: Event[KubeObject]) -> bool:
        return False  # frames are made where they are written
