"""Watches over WebSocket, for web pages: each event is one text frame with what would be a line of a stream."""

from contextlib import suppress

from apimachinery import errors
from apimachinery.types.objects import KubeObject
from apiserver.authentication.authenticators import subprotocols
from apiserver.handlers.watches import Watch
from apiserver.storage import Event
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

    async def _until_client_leaves(self) -> None:
        assert self._socket is not None
        while await self._socket.receive() is not None:
            pass  # what a client sends is ignored

    def _hand_over(self, event: Event[KubeObject]) -> bool:
        return False  # frames are made where they are written
