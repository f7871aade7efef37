"""The engine's event stream, as calls into the event loop.

A thread reads; ``on_event`` gets the ID of the container that an event is about. The stream breaks when the engine restarts: then
``on_lost`` is called, and ``on_connected`` once it is back, because what happened in between has to be listed.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kubelet.runtime import errors, records
from kubelet.runtime.engine import Engine

log = logging.getLogger(__name__)

RETRY = 1.0
"""Seconds between attempts to connect."""

_ACTIONS = ["create", "start", "die", "oom", "destroy", "pause", "unpause"]


class EventStream:
    """Start with ``run``; the callbacks run in the event loop."""

    def __init__(
        self,
        engine: Engine,
        on_event: Callable[[str], object],
        on_connected: Callable[[], object],
        on_lost: Callable[[str], object],
    ) -> None:
        self._engine = engine
        self._on_event = on_event
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._stopping = threading.Event()
        self._stream: Any = None

    async def run(self) -> None:
        """Read events until cancelled."""
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._read, args=(loop,), name="docker-events", daemon=True)
        thread.start()
        try:
            await loop.create_future()  # for ever
        finally:
            self._stopping.set()
            if self._stream is not None:
                with suppress(Exception):  # its socket may be gone already; the thread is a daemon
                    self._stream.close()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping.is_set():
            reason = "the engine ended the event stream"
            try:
                self._follow(loop)
            except errors.EngineError as exc:
                reason = str(exc)
            except Exception as exc:  # a stream that is closed meanwhile makes the SDK fail in many ways
                reason = repr(exc)
            if not self._call(loop, self._on_lost, reason):
                return
            self._stopping.wait(RETRY)

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        filters = {"type": "container", "label": records.POD_UID, "event": _ACTIONS}
        with self._engine.dedicated() as client, errors.translated():
            self._stream = client.events(filters=filters, decode=True)
            self._call(loop, self._on_connected)
            for event in self._stream:
                self._call(loop, self._on_event, event["Actor"]["ID"])

    def _call(self, loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *args: object) -> bool:
        if self._stopping.is_set():
            return False
        try:
            loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed
            return False
        return True
