"""Exec and attach over SPDY: a command's streams as streams of one connection, by Kubernetes' protocols v1 to v4.

``SpdyRemoteCommand`` has the same methods as ``RemoteCommand`` for WebSockets. The client opens the streams that it
requested, with the name in the header ``streamtype``: error, stdin, stdout, stderr, resize. The result is sent on the
error stream, from v4 on as a Status, before that as text; terminal sizes come from v3 on.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from apimachinery import codec
from apimachinery.types.meta_v1 import ListMeta, Status
from component_base.bounded_log import BoundedLog
from component_base.remotecommand import Streams, TerminalSize
from component_base.spdy import SpdyConnection, SpdyStream

log = logging.getLogger(__name__)
client_log = BoundedLog(log)

V4, V3, V2, V1 = "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"
PROTOCOLS = (V4, V3, V2, V1)

_PATIENCE = 30.0
"""Seconds that a client may take to open its streams."""

_LONGEST_SIZE = 1024
"""Characters of a terminal size's JSON; real ones have about 30."""


class SpdyRemoteCommand:
    """One command's streams. Use as an async context manager; ``finish`` sends the command's result."""

    def __init__(self, connection: SpdyConnection, streams: Streams) -> None:
        self.streams = streams
        self._connection = connection
        self._by_type: dict[str, SpdyStream] = {}

    @classmethod
    async def accept(cls, scope: Mapping[str, Any], streams: Streams) -> "SpdyRemoteCommand":
        """Take over a request. Raises what ``SpdyConnection.accept`` raises."""
        return cls(await SpdyConnection.accept(scope, PROTOCOLS), streams)

    async def __aenter__(self) -> Self:
        """Wait for the client's streams. Raises ConnectionResetError, TimeoutError."""
        await self._connection.__aenter__()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._collect()
        except BaseException as exc:
            await self._connection.__aexit__(type(exc), exc, exc.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.__aexit__(kind, error, trace)

    async def read_stdin(self) -> bytes:
        """The next bytes for the command; empty when the client has closed its stdin or is gone."""
        stream = self._by_type.get("stdin")
        return await stream.read() if stream is not None else b""

    async def write_stdout(self, data: bytes) -> None:
        """Raises ConnectionResetError when the client is gone."""
        await self._write("stdout", data)

    async def write_stderr(self, data: bytes) -> None:
        """Raises ConnectionResetError when the client is gone."""
        await self._write("stderr", data)

    async def sizes(self) -> AsyncIterator[TerminalSize]:
        """Sizes of the client's terminal as they change. Ends with the client."""
        stream = self._by_type.get("resize")
        text, decoder = "", json.JSONDecoder()
        while stream is not None and (data := await stream.read()):
            text += data.decode(errors="replace")
            while text := text.lstrip():
                try:
                    document, end = decoder.raw_decode(text)
                    size = TerminalSize.from_document(document)
                except json.JSONDecodeError:  # the rest is still to come
                    if len(text) > _LONGEST_SIZE:
                        client_log.info("remotecommand: not a terminal size; ignored, and all that follow")
                        return
                    break
                except (ValueError, RecursionError) as exc:
                    client_log.info("remotecommand: not a terminal size: %s; ignored", exc)
                    return
                text = text[end:]
                yield size

    async def wait_gone(self) -> None:
        """Return when the client has closed the connection."""
        await self._connection.wait_gone()

    async def finish(self, status: Status | None = None) -> None:
        """Send the command's result (None: success)."""
        status = status or Status(metadata=ListMeta(), status="Success")
        with suppress(ConnectionError):
            for name in ("stdout", "stderr"):
                if stream := self._by_type.get(name):
                    await stream.close_write()
            if self._connection.protocol == V4:
                await self._write("error", codec.encode(status))
            elif status.status != "Success":
                await self._write("error", (status.message or "").encode())

    async def _collect(self) -> None:
        streams = self.streams
        names = {"error"}
        names |= {name for name in ("stdin", "stdout", "stderr") if getattr(streams, name)}
        if streams.tty:
            names.discard("stderr")
            if self._connection.protocol in (V4, V3):
                names.add("resize")
        async for stream in self._connection.streams():
            self._by_type[stream.headers.get("streamtype", "")] = stream
            if names <= self._by_type.keys():
                return
        raise ConnectionResetError("the client left before it had opened its streams")

    async def _write(self, name: str, data: bytes) -> None:
        if stream := self._by_type.get(name):
            await stream.write(data)
