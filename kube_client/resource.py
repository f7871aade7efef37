"""Typed verbs on one resource: what to call where, and what comes back.

Pure translation between objects and HTTP; ``rest`` owns errors and retries.
"""

import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Literal, TypeVar

import msgspec

from apimachinery import codec, meta, scheme
from apimachinery.types import meta_v1
from apimachinery.types.objects import KubeObject
from kube_client import watch
from kube_client.history import History
from kube_client.rest import RestClient
from kube_client.watch import WatchEvent

T = TypeVar("T", bound=KubeObject)
S = TypeVar("S")

PatchKind = Literal["strategic", "merge", "json", "apply"]

_CONTENT_TYPES: dict[PatchKind, str] = {
    "strategic": "application/strategic-merge-patch+json",
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


@dataclass(frozen=True)
class Page(Generic[T]):
    """The result of a list call. ``continue_`` is set when there is more."""

    items: list[T]
    resource_version: str
    continue_: str = ""


class Resource(Generic[T]):
    """The objects of one type. ``namespace=None`` means all namespaces, or the default one for a single object."""

    def __init__(self, client: RestClient, type: type[T], served_as: scheme.Resource | None = None) -> None:
        self._client = client
        self.type = type
        self.scheme = served_as or scheme.resource_of(type)
        self._list_type: Any = _list_type(type)

    @property
    def history(self) -> History:
        """What the versions of these objects belong to. Other servers than ours may serve other kinds."""
        built_in = scheme.type_of(self.scheme.api_version, self.scheme.kind) is not None
        return self._client.history if built_in else History()

    async def get(self, name: str, *, namespace: str | None = None) -> T:
        return self._object(await self._client.request("GET", self._path(namespace, name)))

    async def list(
        self,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        resource_version: str | None = None,
        resource_version_match: str | None = None,
        limit: int | None = None,
        continue_: str | None = None,
    ) -> Page[T]:
        params = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            resourceVersion=resource_version,
            resourceVersionMatch=resource_version_match,
            limit=limit,
            **{"continue": continue_},
        )
        body = await self._client.request("GET", self.scheme.path(namespace), params=params)
        page = codec.decode(body, self._list_type)
        return Page(page.items or [], page.metadata.resource_version or "", page.metadata.continue_ or "")

    async def create(self, obj: T) -> T:
        path = self.scheme.path(self._namespace(obj.metadata.namespace))
        return self._object(await self._client.request("POST", path, body=codec.encode(obj)))

    async def update(self, obj: T, *, subresource: str | None = None) -> T:
        return await self._put(obj, subresource)

    async def update_status(self, obj: T) -> T:
        return await self._put(obj, "status")

    async def patch(
        self,
        name: str,
        patch: Any,
        *,
        namespace: str | None = None,
        kind: PatchKind = "strategic",
        subresource: str | None = None,
        force: bool | None = None,
    ) -> T:
        """Change a part. ``patch`` is a Struct or builtins; ``force`` is for kind "apply" alone."""
        params = _query(fieldManager=self._client.user_agent if kind == "apply" else None, force=force)
        body = codec.encode(patch) if isinstance(patch, msgspec.Struct) else msgspec.json.encode(patch)
        path = self._path(namespace, name, subresource)
        content_type = _CONTENT_TYPES[kind]
        return self._object(
            await self._client.request("PATCH", path, params=params, body=body, content_type=content_type)
        )

    async def delete(
        self,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
    ) -> None:
        """Request deletion; with ``uid`` or ``resource_version`` only of exactly that object, otherwise Conflict."""
        options = meta_v1.DeleteOptions(
            api_version="v1",
            kind="DeleteOptions",
            grace_period_seconds=grace_period_seconds,
            propagation_policy=propagation_policy,
        )
        if uid or resource_version:
            options.preconditions = meta_v1.Preconditions(uid=uid, resource_version=resource_version)
        await self._client.request("DELETE", self._path(namespace, name), body=codec.encode(options))

    async def delete_collection(
        self,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> None:
        params = _query(labelSelector=label_selector, fieldSelector=field_selector)
        await self._client.request("DELETE", self.scheme.path(namespace), params=params)

    async def create_subresource(
        self, name: str, subresource: str, body: msgspec.Struct, *, namespace: str | None = None
    ) -> None:
        """POST to a subresource, such as a Binding to a pod's ``binding``."""
        path = self._path(namespace, name, subresource)
        await self._client.request("POST", path, body=codec.encode(body))

    async def ask_subresource(self, name: str, subresource: str, body: S, *, namespace: str | None = None) -> S:
        """POST to a subresource that answers with what was posted, filled in, such as a TokenRequest."""
        answer = await self._client.request("POST", self._path(namespace, name, subresource), body=codec.encode(body))
        return codec.decode(answer, type(body))

    async def watch(
        self,
        *,
        namespace: str | None = None,
        resource_version: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        bookmarks: bool = True,
        timeout_seconds: int | None = None,
        opened: Callable[[str], object] = lambda server: None,
    ) -> AsyncGenerator[WatchEvent[T], None]:
        """Changes after ``resource_version``, until the server ends the stream (after 5 to 10 minutes).

        Args:
            opened: is told which apiserver answers; see ``RestClient.stream``.

        Raises:
            errors.Expired: that version is too old; list again.
            errors.ApiError: the stream broke; continue from the last version received.
        """
        params = _query(
            watch="true",
            resourceVersion=resource_version,
            labelSelector=label_selector,
            fieldSelector=field_selector,
            allowWatchBookmarks="true" if bookmarks else None,
            # Spread, so that a fleet's watches do not all end at once.
            timeoutSeconds=timeout_seconds or random.randint(300, 600),
        )
        decoder = watch.Decoder(self.type)
        stream = self._client.stream(self.scheme.path(namespace), params=params, opened=opened)
        async with stream as chunks, aclosing(watch.lines(chunks)) as lines:
            async for line in lines:
                yield decoder.decode(line)

    async def _put(self, obj: T, subresource: str | None) -> T:
        path = self._path(obj.metadata.namespace, meta.name_of(obj), subresource)
        return self._object(await self._client.request("PUT", path, body=codec.encode(obj)))

    def _path(self, namespace: str | None, name: str, subresource: str | None = None) -> str:
        if not name:
            raise ValueError(f"{self.scheme.plural}: a name is needed")  # the path would be the collection's
        return self.scheme.path(self._namespace(namespace), name, subresource)

    def _namespace(self, namespace: str | None) -> str | None:
        return (namespace or self._client.config.namespace) if self.scheme.namespaced else None

    def _object(self, body: bytes) -> T:
        return codec.decode(body, self.type)


def _query(**values: object) -> Mapping[str, str]:
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in values.items()
        if value is not None
    }


@cache
def _list_type(type: type[KubeObject]) -> Any:
    """The shape of a list of ``type``; Go writes an empty list as null at times."""
    fields = [("metadata", meta_v1.ListMeta, msgspec.field(default_factory=meta_v1.ListMeta))]
    items = ("items", list[type] | None, None)  # type: ignore[valid-type]
    return msgspec.defstruct(f"{type.__name__}List", [*fields, items], gc=False)
