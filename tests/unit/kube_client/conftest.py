"""A small API over real HTTP, and time that runs only when nothing else is to do."""

import asyncio
import json
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qs

import pytest

from apimachinery import codec, errors
from component_base.serving import Server
from kube_client import Client, Config

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Skips over waiting: where nothing is ready, the clock jumps to the next timer; else it stands still."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        # Real sockets of this same process answer within this moment.
        ready = super().select(min(timeout, 0.0003) if timeout is not None else 0.0003)
        if not ready and timeout:
            self.skipped += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._chooser = _Selector()
        super().__init__(self._chooser)

    def time(self) -> float:
        return self._chooser.skipped


@pytest.fixture
def virtual() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Run a coroutine in virtual time: an hour of sleeping takes no time at all."""

    def run(main: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            return runner.run(main)

    return run


class ScriptedApi:
    """Objects of any resource by path, a single sequence of versions, watches; and the faults that a test asks for."""

    def __init__(self) -> None:
        self.version = 100
        self.oldest = 0  # watches from before it are Expired
        self.objects: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[int, str, str, dict[str, Any]]] = []
        self.requests: list[tuple[str, str, dict[str, str], bytes, dict[str, str]]] = []
        self.faults: list[tuple[int, dict[str, str]]] = []  # each answers one request
        self.fail: Callable[[str, str], int | None] = lambda method, path: None
        self._changed = asyncio.Event()
        self._epoch = 0

    def count(self, method: str, *, watch: bool = False) -> int:
        return sum(1 for request in self.requests if request[0] == method and ("watch" in request[2]) == watch)

    def put(self, path: str, obj: dict[str, Any], type: str = "") -> dict[str, Any]:
        """Store an object as the server would."""
        known = self.objects.get(path)
        self.version += 1
        metadata = obj.setdefault("metadata", {})
        metadata["name"] = path.rsplit("/", 1)[1]
        metadata.setdefault("uid", known["metadata"]["uid"] if known else f"uid-{self.version}")
        if "/namespaces/" in path:
            metadata["namespace"] = path.split("/namespaces/")[1].split("/")[0]
        metadata["resourceVersion"] = str(self.version)
        self.objects[path] = obj
        self._happened(type or ("MODIFIED" if known else "ADDED"), path, obj)
        return obj

    def drop(self, path: str) -> None:
        self.version += 1
        obj = json.loads(json.dumps(self.objects.pop(path)))
        obj["metadata"]["resourceVersion"] = str(self.version)
        self._happened("DELETED", path, obj)

    def bookmark(self) -> None:
        self.version += 1
        self._happened("BOOKMARK", "", {"metadata": {"resourceVersion": str(self.version)}})

    def compact(self) -> None:
        """Forget all events and end all watches."""
        self.oldest = self.version
        self.cut()

    def cut(self) -> None:
        """End all watches."""
        self._epoch += 1
        self._wake()

    def restore(self, version: int, objects: dict[str, dict[str, Any]]) -> None:
        """Become what a copy of the data says, and end all watches; the histories after it differ."""
        self.version, self.objects = version, objects
        self.events = [event for event in self.events if event[0] <= version]
        self.cut()

    def _happened(self, type: str, path: str, obj: dict[str, Any]) -> None:
        self.events.append((self.version, type, path, json.loads(json.dumps(obj))))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        method, path = scope["method"], scope["path"]
        query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        self.requests.append((method, path, query, body, headers))
        if self.faults:
            code, extra = self.faults.pop(0)
            await _reply(send, code, _status(code, "scripted"), extra)
        elif code := self.fail(method, path):
            await _reply(send, code, _status(code, "scripted"))
        elif "watch" in query:
            await self._watch(path, query, scope, receive, send)
        else:
            await _reply(send, *self._act(method, path, body))

    def _act(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        sent = json.loads(body) if body else {}
        known = self.objects.get(path)
        if method == "POST":
            target = f"{path}/{sent['metadata']['name']}"
            if target in self.objects:
                return 409, _status(409, "AlreadyExists")
            return 201, self.put(target, sent)
        if method == "GET" and path.rsplit("/", 1)[1] in ("pods", "configmaps", "leases", "events"):
            items = [obj for key, obj in self.objects.items() if _belongs(key, path)]
            return 200, {"kind": "List", "metadata": {"resourceVersion": str(self.version)}, "items": items or None}
        path = path.removesuffix("/status")
        known = self.objects.get(path)
        if known is None:
            return 404, _status(404, "NotFound")
        if method == "PUT":
            if sent["metadata"].get("resourceVersion") not in (None, known["metadata"]["resourceVersion"]):
                return 409, _status(409, "Conflict")
            return 200, self.put(path, sent)
        if method == "PATCH":
            return 200, self.put(path, known | sent)
        if method == "DELETE":
            self.drop(path)
        return 200, known

    async def _watch(self, path: str, query: dict[str, str], scope: Any, receive: Any, send: Any) -> None:
        sent, epoch = int(query.get("resourceVersion") or self.version), self._epoch
        if sent > self.version:
            error = errors.too_large_resource_version(sent, self.version)
            await _reply(send, error.code, codec.to_builtins(error.status()))
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        disconnected = asyncio.ensure_future(receive())
        stopping = asyncio.ensure_future(scope["state"]["stopping"].wait())
        if sent < self.oldest:
            await _line(send, {"type": "ERROR", "object": _status(410, "Expired")})
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            while epoch == self._epoch and not disconnected.done() and not stopping.done():
                now = self.version
                for version, type, key, obj in [*self.events]:
                    if sent < version <= now and (type == "BOOKMARK" or _belongs(key, path)):
                        await _line(send, {"type": type, "object": obj})
                sent = now
                if self.version == sent and epoch == self._epoch:
                    changed = asyncio.ensure_future(self._changed.wait())
                    await asyncio.wait([changed, disconnected, stopping], return_when=asyncio.FIRST_COMPLETED)
                    changed.cancel()
        disconnected.cancel()
        stopping.cancel()
        await send({"type": "http.response.body", "body": b""})


def _belongs(key: str, collection: str) -> bool:
    """Whether an object's path lies in a collection, which may be that of all namespaces."""
    root, _, plural = collection.rpartition("/")
    return key.startswith(f"{collection}/") or (
        "/namespaces/" not in collection and key.startswith(f"{root}/namespaces/") and f"/{plural}/" in key
    )


def _status(code: int, reason: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason, "metadata": {}}


async def _line(send: Any, value: Any) -> None:
    await send({"type": "http.response.body", "body": json.dumps(value).encode() + b"\n", "more_body": True})


async def _reply(send: Any, code: int, value: Any, extra: dict[str, str] | None = None) -> None:
    body = json.dumps(value).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    headers += [(key.encode(), text.encode()) for key, text in (extra or {}).items()]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def _connected(api: ScriptedApi) -> AsyncIterator[Client]:
    async with (
        Server(api, [("127.0.0.1", 0)]) as server,
        Client(Config(server=f"http://127.0.0.1:{server.port}"), "test") as client,
    ):
        yield client


@pytest.fixture
def connected() -> Callable[[ScriptedApi], Any]:
    """A client of a scripted API, as an async context manager: for tests in virtual time."""
    return _connected


@pytest.fixture
def scripted() -> type[ScriptedApi]:
    return ScriptedApi


@pytest.fixture
async def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture
async def client(api: ScriptedApi) -> AsyncIterator[Client]:
    async with _connected(api) as client:
        yield client
