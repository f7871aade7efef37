"""The raw ASGI endpoint under ``/api`` and ``/apis``: one split of the path, one look-up, one handler.

Generated routes would be tried one after the other; six hundred of them cost more than the request.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from apimachinery import errors
from apimachinery.types.objects import KubeObject
from apiserver import authorization
from apiserver.flowcontrol import FlowController
from apiserver.handlers import metrics, patches, request_options, verbs, work
from apiserver.handlers.discovery import Discovery
from apiserver.handlers.http import Request
from apiserver.handlers.lists import Lists
from apiserver.handlers.negotiation import Form, negotiate
from apiserver.handlers.rendering import Renderer, renderer
from apiserver.handlers.verbs import Call
from apiserver.registry.resource import Served, Subresource, not_allowed
from apiserver.registry.resources import Resources
from apiserver.registry.subresources import WHOLE
from apiserver.request import Attributes, Remarks, User

log = logging.getLogger(__name__)

_MANAGER_LIMIT: Final = 128

_VERBS: Final[dict[str, Callable[[Call], Awaitable[None]]]] = {
    "get": verbs.get,
    "watch": verbs.watch,
    "create": verbs.create,
    "update": verbs.update,
    "patch": patches.patch_,
    "delete": verbs.delete,
    "deletecollection": verbs.delete_collection,
}
_OF_OBJECTS: Final = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "POST": "create"}
_LIKE_GET: Final = ("HEAD", "OPTIONS")
_OF_COLLECTIONS: Final = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}


class Connector(Protocol):
    """Serves the subresources that others answer: streams of a node, ``proxy``."""

    async def connect(self, call: Call, rest: Sequence[str]) -> None: ...


class Beside(Protocol):
    """Serves requests in another process."""

    async def serve(self, request: Request, user: User) -> None: ...


class Place(Struct, frozen=True):
    """What a path names: the parts of ``/apis/<group>/<version>/...`` it names."""

    group: str
    version: str
    namespace: str
    resource: str
    name: str
    subresource: str
    rest: Sequence[str]


def locate(parts: Sequence[str]) -> Place | None:
    """The place that a split path names; None for discovery documents, which name no resource."""
    if parts[0] == "api":
        group, version, tail = "", parts[1] if len(parts) > 1 else "", list(parts[2:])
    else:
        group = parts[1] if len(parts) > 1 else ""
        version, tail = parts[2] if len(parts) > 2 else "", list(parts[3:])
    if not tail:
        return None
    namespace = ""
    if tail[0] == "namespaces" and len(tail) > 1:
        namespace = tail[1]
        if len(tail) > 2 and tail[2] not in ("status", "finalize"):
            tail = tail[2:]
        else:  # the path of the namespace itself
            return Place(group, version, namespace, "namespaces", namespace, "".join(tail[2:3]), tail[3:])
    resource, name, subresource, *rest = [*tail, "", ""][: max(3, len(tail))]
    return Place(group, version, namespace, resource, name, subresource, rest)


class ApiEndpoint:
    """Serves every resource in the table."""

    def __init__(
        self,
        resources: Resources,
        discovery: Discovery,
        authorizer: authorization.Union,
        connector: Connector,
        flows: FlowController | None = None,
        beside: Beside | None = None,
    ) -> None:
        """Without ``flows`` nobody waits, and without ``beside`` everything is served here."""
        self._resources, self._discovery = resources, discovery
        self._authorizer, self._connector = authorizer, connector
        self._flows, self._beside = flows, beside
        self._verbs = {**_VERBS, "list": Lists().answer}

    async def serve(self, request: Request, user: User) -> None:
        """Answer one request of a known user. Raises ApiError unless an answer has begun."""
        parts = request.path.strip("/").split("/")
        place = _watched(request, parts) or locate(parts)
        if place is None:
            attributes = Attributes(user, request.method.lower(), request.path)
            await self._authorizer.authorize(attributes)
            if request.method not in ("GET", "HEAD"):
                raise not_allowed()
            await self._discovery.serve(request, parts)
            return
        served = self._resources.find(place.group, place.version, place.resource)
        if served is None or not _is_in_scope(place, served):
            raise errors.NotFound("the server could not find the requested resource")
        subresource: Subresource[KubeObject, KubeObject] = WHOLE
        if place.subresource:
            declared = served.info.subresources.get(place.subresource)
            if declared is None or (place.rest and not declared.connects):
                raise errors.NotFound("the server could not find the requested resource")
            subresource = declared
        verb = _verb(request, place, served, subresource)
        attributes = _attributes(request, user, place, verb)
        await self._authorizer.authorize(attributes)
        if verb == "connect":  # the Accept header of a proxied request is for the server behind
            out = Renderer(served.info.kind, (), Form())
        else:
            columns = subresource.columns(served.info)
            form = negotiate(request.headers.get("accept", ""), has_table=bool(columns))
            out = renderer(request, subresource.kind(served.info), columns, form)
        call = Call(request, attributes, served, subresource, out)
        if self._flows is None:
            await self._run(call, verb, place)
        else:
            await self._controlled(self._flows, call, verb, place)

    async def _controlled(self, flows: FlowController, call: Call, verb: str, place: Place) -> None:
        """Run the request when it has seats; elsewhere, without any here, if it is too much for the event loop."""
        flow, request, user = flows.flow(call.attributes), call.request, call.attributes.user
        request.more_headers = flow.headers
        request.sending = partial(flows.sending, flow, user.name)
        if verb == "connect":
            await self._run(call, verb, place)
        elif verb == "watch":
            with flows.watching(flow, user.name):
                await self._run(call, verb, place)
        elif (cost := work.cost(call, verb)) > work.TOO_MUCH and self._beside is not None:
            await self._run(call, verb, place, self._beside)
        else:
            seats = await flows.admit(flow, work.seats(cost))
            request.when_answered = seats.leave
            try:
                await self._run(call, verb, place)
            finally:
                seats.leave()

    async def _run(self, call: Call, verb: str, place: Place, beside: Beside | None = None) -> None:
        started, code = time.perf_counter(), 500
        streams = verb in ("watch", "connect")
        if not streams:
            metrics.inflight.add(1)
        try:
            if verb == "connect":
                await self._connector.connect(call, place.rest)
            elif beside is not None:
                await beside.serve(call.request, call.attributes.user)
            else:
                await self._verbs[verb](call)
            code = call.request.code
        except errors.ApiError as error:
            code = error.code
            raise
        finally:
            if not streams:
                metrics.inflight.add(-1)
                elapsed = time.perf_counter() - started
                metrics.request_duration.observe(elapsed, verb.upper(), place.group, place.resource)
            labels = (verb.upper(), place.group, place.version, place.resource, place.subresource, str(code))
            metrics.requests_total.inc(*labels)


def _watched(request: Request, parts: Sequence[str]) -> Place | None:
    """What a path of the old form ``/api/v1/watch/...`` watches, as the query of a list would say it; None for others."""
    at = 2 if parts[0] == "api" else 3
    if len(parts) <= at + 1 or parts[at] != "watch":
        return None
    if request.method not in ("GET", "HEAD"):
        raise not_allowed()
    place = locate([*parts[:at], *parts[at + 1 :]])
    if place is None or place.subresource:
        return None
    options = {"watch": "true", **({"fieldSelector": f"metadata.name={place.name}"} if place.name else {})}
    request.scope["query_string"] = urlencode(options).encode() + b"&" + request.scope["query_string"]
    return replace(place, name="", namespace="" if place.resource == "namespaces" else place.namespace)


def _is_in_scope(place: Place, served: Served[KubeObject]) -> bool:
    """Objects are in a namespace or in none; only collections of all namespaces are read without naming one."""
    if place.resource == "namespaces":
        return True
    if not served.info.resource.namespaced:
        return not place.namespace
    return bool(place.namespace) or not place.name


def _verb(
    request: Request, place: Place, served: Served[KubeObject], subresource: Subresource[KubeObject, KubeObject]
) -> str:
    """Raises MethodNotAllowed if the place does not take the method."""
    like_get = request.method == "HEAD" or (subresource.connects and request.method in _LIKE_GET)
    method = "GET" if like_get else request.method
    verb = (_OF_OBJECTS if place.name else _OF_COLLECTIONS).get(method)
    if verb == "list" and request.flag("watch"):
        verb = "watch"
    if place.subresource:
        if verb is None or verb not in subresource.verbs:
            raise not_allowed()
        return "connect" if subresource.connects else verb
    if verb is None or verb not in served.info.verbs or (verb == "create" and place.name):
        raise not_allowed()
    if served.info.resource.namespaced and not place.namespace and verb not in ("list", "watch"):
        raise not_allowed()
    return verb


def _attributes(request: Request, user: User, place: Place, verb: str) -> Attributes:
    is_apply = verb == "patch" and patches.is_apply(request.headers.get("content-type", ""))
    request_options.validate(request, verb, is_apply=is_apply)
    writes = verb not in ("get", "list", "watch", "connect")
    return Attributes(
        user=user,
        verb=verb,
        path=request.path,
        group=place.group,
        version=place.version,
        resource=place.resource,
        subresource=place.subresource,
        namespace="" if place.resource == "namespaces" else place.namespace,
        name=place.name,
        dry_run=writes and "All" in request.query_lists.get("dryRun", ()),
        field_manager=_field_manager(request) if verb != "connect" else "",
        is_apply=is_apply,
        remarks=Remarks(request.warnings) if writes else None,
    )


def _field_manager(request: Request) -> str:
    """The owner of what a write sets: the one that the request names, or else the program that sends it."""
    manager = request.query.get("fieldManager")
    if not manager:
        return request.headers.get("user-agent", "unknown").partition("/")[0][:_MANAGER_LIMIT] or "unknown"
    return manager
