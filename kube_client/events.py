"""Events: what happened to an object, for people.

``EventRecorder.event`` returns at once and never raises; ``run`` writes in the background. Equal events are
counted in one object, many similar ones are combined, a source is rate-limited per object, and what cannot be
written after a few attempts is dropped: events are a courtesy, never worth a delay.
"""

import asyncio
import logging
import random
import time
from collections import OrderedDict
from copy import copy
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from apimachinery import errors, meta
from apimachinery.types import core_v1, meta_v1
from apimachinery.types.objects import KubeObject
from kube_client import metrics
from kube_client.client import Client

log = logging.getLogger(__name__)

_QUEUE = 1000
_CACHE = 4096
_ATTEMPTS = 5
_RETRY_DELAY = 2.0
"""Seconds between attempts to write one event, spread by a half."""
_FLUSH = 1.0
"""Seconds that a stopping recorder keeps writing what is queued."""

_BURST, _REFILL = 25, 1 / 300
"""Burst, and events a second afterwards, that one source may record about one object."""

_SIMILAR, _SIMILAR_SPAN = 10, 600.0
"""How many different messages of one reason, within how many seconds, before they are combined."""


@dataclass(frozen=True)
class _Subject:
    """What makes events similar: all but the message."""

    component: str
    kind: str
    namespace: str
    name: str
    uid: str
    api_version: str
    field_path: str
    type: str
    reason: str

    @property
    def object(self) -> tuple[str, str, str, str, str]:
        return (self.component, self.kind, self.namespace, self.name, self.uid)


@dataclass
class _Bucket:
    """Tokens of one source and object."""

    tokens: float
    at: float

    def take(self, now: float) -> bool:
        self.tokens = min(_BURST, self.tokens + (now - self.at) * _REFILL)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass
class _Similar:
    at: float
    messages: set[str] = field(default_factory=set)


V = TypeVar("V")


class _Recent(Generic[V]):
    """The ``size`` most recently used entries."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[object, V] = OrderedDict()

    def get(self, key: object) -> V | None:
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: object, value: V) -> V:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return value


class EventRecorder:
    """Events of one component on one host; start ``run`` in the daemon's task group."""

    def __init__(self, client: Client, component: str, host: str | None = None) -> None:
        self._events_api = client.resource(core_v1.Event)
        self._component = component
        self._host = host
        self._queue: asyncio.Queue[tuple[_Subject, core_v1.Event]] = asyncio.Queue(_QUEUE)
        self._buckets: _Recent[_Bucket] = _Recent(_CACHE)
        self._similar: _Recent[_Similar] = _Recent(_CACHE)
        self._written: _Recent[core_v1.Event] = _Recent(_CACHE)  # the server's last, by subject and message

    def of(self, component: str) -> "EventRecorder":
        """Records as another component of this process; the ``run`` of this recorder writes its events, too."""
        recorder = copy(self)
        recorder._component = component
        return recorder

    def event(self, obj: KubeObject, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Record that something happened. ``type`` is Normal or Warning, ``reason`` one word in CamelCase.

        ``field_path`` names a part of the object, such as ``spec.containers{web}``.
        """
        subject = _Subject(
            self._component,
            obj.kind or "",
            meta.namespace_of(obj),
            meta.name_of(obj),
            meta.uid_of(obj),
            obj.api_version or "",
            field_path,
            type,
            reason,
        )
        log.debug("%s: %s %s: %s", meta.key_of(obj), type, reason, message)
        now = asyncio.get_running_loop().time()
        bucket = self._buckets.get(subject.object) or self._buckets.put(subject.object, _Bucket(_BURST, now))
        if not bucket.take(now):
            self._drop("rate")
            return
        event = self._event(obj, subject, self._combined(subject, message, now))
        try:
            self._queue.put_nowait((subject, event))
        except asyncio.QueueFull:
            self._drop("queue")

    async def run(self) -> None:
        """Write events until cancelled, then what is still queued for a moment longer."""
        try:
            while True:
                await self._write(*await self._queue.get())
        finally:
            await self._flush()

    async def _flush(self) -> None:
        try:
            async with asyncio.timeout(_FLUSH):
                while not self._queue.empty():
                    await self._write(*self._queue.get_nowait(), attempts=1)
        except TimeoutError:
            log.info("%s: %d events not written", self._component, self._queue.qsize())

    def _combined(self, subject: _Subject, message: str, now: float) -> str:
        """The message, or a combined one when there have been too many different ones recently."""
        similar = self._similar.get(subject)
        if similar is None or now - similar.at > _SIMILAR_SPAN:
            similar = self._similar.put(subject, _Similar(now))
        if message not in similar.messages and len(similar.messages) >= _SIMILAR:
            return f"(combined from similar events): {message}"
        similar.messages.add(message)
        similar.at = now
        return message

    def _event(self, obj: KubeObject, subject: _Subject, message: str) -> core_v1.Event:
        now = meta.now()
        # A cluster-scoped object's events live in the default namespace.
        namespace = subject.namespace or "default"
        return core_v1.Event(
            metadata=meta_v1.ObjectMeta(name=f"{subject.name}.{time.time_ns():x}", namespace=namespace),
            involved_object=core_v1.ObjectReference(
                kind=subject.kind,
                namespace=subject.namespace or None,
                name=subject.name,
                uid=subject.uid or None,
                api_version=subject.api_version,
                resource_version=obj.metadata.resource_version,
                field_path=subject.field_path or None,
            ),
            type=subject.type,
            reason=subject.reason,
            message=message,
            source=core_v1.EventSource(component=self._component, host=self._host),
            reporting_component=self._component,
            reporting_instance=self._host,
            first_timestamp=now,
            last_timestamp=now,
            count=1,
        )

    async def _write(self, subject: _Subject, event: core_v1.Event, attempts: int = _ATTEMPTS) -> None:
        """Write one event; never raises."""
        message = event.message or ""
        key = (subject, "" if message.startswith("(combined") else message)
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(_RETRY_DELAY * random.uniform(0.5, 1.5))
            try:
                written = self._written.get(key)
                event = await (self._count(written, event) if written else self._events_api.create(event))
                self._written.put(key, event)
                return
            except (errors.ServiceUnavailable, errors.Timeout, errors.TooManyRequests, errors.InternalError) as exc:
                log.debug("%s: event not written: %s; will retry", event.metadata.name, exc)
            except errors.ApiError as exc:  # refused: its namespace is gone, or it is invalid
                level = logging.DEBUG if errors.is_namespace_terminating(exc) else logging.INFO
                log.log(level, "%s: event refused: %s", event.metadata.name, exc)
                self._drop("refused")
                return
            except Exception:
                log.exception("%s: event not written", event.metadata.name)
                self._drop("refused")
                return
        self._drop("unavailable")

    async def _count(self, written: core_v1.Event, event: core_v1.Event) -> core_v1.Event:
        """Raise the count of an event that the server has; create it again if it has expired there."""
        patch = {
            "count": (written.count or 1) + 1,
            "lastTimestamp": event.last_timestamp,
            "message": event.message,
        }
        name, namespace = meta.name_of(written), meta.namespace_of(written)
        try:
            return await self._events_api.patch(name, patch, namespace=namespace, kind="strategic")
        except errors.NotFound:
            return await self._events_api.create(event)

    def _drop(self, reason: str) -> None:
        metrics.EVENTS_DROPPED.labels(reason).inc()
