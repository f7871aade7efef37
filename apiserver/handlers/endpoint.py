"""The raw ASGI endpoint under ``/api`` and ``/apis``: one split of the path, one look-up, one handler.

Generated routes would be tried one after the other; six hundred of them cost more than the request.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol

from msgspec.structs import replace

from apimachinery import errors
from apimachinery.types.objects import KubeObject
from apiserver.admission import Chain
from apiserver.flowcontrol import FlowController
from apiserver.handlers import metrics, patches, request_options, verbs, work
from apiserver.handlers.discovery import Discovery
from apiserver.handlers.http import Request
from apiserver.handlers.lists import Lists
from apiserver.handlers.negotiation import Form, negotiate
from apiserver.handlers.rendering import Renderer, renderer
from apiserver.handlers.request_info import Place
from apiserver.handlers.verbs import Call
from apiserver.registry.resource import Served, Subresource, not_allowed
from apiserver.registry.resources import Resources
from apiserver.registry.subresources import WHOLE
from apiserver.request import Attributes, User

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


class Connector(Protocol):
    """Serves the subresources that others answer: streams of a node, ``proxy``."""

    async def connect(self, call: Call, rest: Sequence[str]) -> None: ...


class Beside(Protocol):
    """Serves requests in another process."""

    async def serve(self, request: Request, user: User) -> None: ...


class ApiEndpoint:
    """Serves every resource in the table."""

    def __init__(
        self,
        resources: Resources,
        discovery: Discovery,
        admission: Chain,
        connector: Connector,
        flows: FlowController | None = None,
        beside: Beside | None = None,
    ) -> None:
        """Without ``flows`` nobody waits, and without ``beside`` everything is served here."""
        self._resources, self._discovery = resources, discovery
        self._admission, self._connector = admission, connector
        self._flows, self._beside = flows, beside
        self._verbs = {**_VERBS, "list": Lists().answer}

    async def serve(self, request: Request, attributes: Attributes, place: Place | None) -> None:
        """Answer one request that is authorized. Raises ApiError unless an answer has begun.

        Args:
            attributes, place: what it asks for, as ``request_info`` reads it.
        """
        if place is None:
            if request.method not in ("GET", "HEAD"):
                raise not_allowed()
            await self._discovery.serve(request, request.path.strip("/").split("/"))
            return
        served, subresource = self._named(place)
        verb = _verb(request, place, attributes.verb, served, subresource)
        if verb == "connect":  # the Accept header of a proxied request is for the server behind
            out = Renderer(served.info.kind, (), Form())
        else:
            attributes = _with_options(request, attributes)
            columns = subresource.columns(served.info)
            form = negotiate(request.headers.get("accept", ""), has_table=bool(columns))
            out = renderer(request, subresource.kind(served.info), columns, form)
        call = Call(request, attributes, served, subresource, out)
        if self._flows is None:
            await self._run(call, verb, place)
        else:
            await self._controlled(self._flows, call, verb, place)

    def _named(self, place: Place) -> tuple[Served[KubeObject], Subresource[KubeObject, KubeObject]]:
        """The resource, and what of it, under a path. Raises NotFound."""
        served = self._resources.find(place.group, place.version, place.resource)
        if served is None or not _is_in_scope(place, served):
            raise errors.NotFound("the server could not find the requested resource")
        if not place.subresource:
            return served, WHOLE
        subresource = served.info.subresources.get(place.subresource)
        if subresource is None or (place.rest and not subresource.connects):
            raise errors.NotFound("the server could not find the requested resource")
        return served, subresource

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
                await self._admission.validate_connect(call.attributes, call.served.info.type)
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


def _is_in_scope(place: Place, served: Served[KubeObject]) -> bool:
    """Objects are in a namespace or in none; only collections of all namespaces are read without naming one."""
    if place.resource == "namespaces":
        return True
    if not served.info.resource.namespaced:
        return not place.namespace
    return bool(place.namespace) or not place.name


def _verb(
    request: Request,
    place: Place,
    asked: str,
    served: Served[KubeObject],
    subresource: Subresource[KubeObject, KubeObject],
) -> str:
    """How the request is served: the verb that was asked for, or ``connect``.

    Raises MethodNotAllowed if the place does not take the method.
    """
    if place.subresource:
        method = "get" if subresource.connects and request.method == "OPTIONS" else asked
        if method not in subresource.verbs:
            raise not_allowed()
        return "connect" if subresource.connects else method
    of_object, of_collection = asked in ("update", "patch"), asked == "create"
    if asked not in served.info.verbs or (of_collection if place.name else of_object):
        raise not_allowed()
    if served.info.resource.namespaced and not place.namespace and asked not in ("list", "watch"):
        raise not_allowed()
    return asked


def _with_options(request: Request, attributes: Attributes) -> Attributes:
    """With what the query of a write says besides. Raises Invalid."""
    verb = attributes.verb
    is_apply = verb == "patch" and patches.is_apply(request.headers.get("content-type", ""))
    request_options.validate(request, verb, is_apply=is_apply)
    if verb in ("get", "list", "watch"):
        return attributes
    return replace(
        attributes,
        dry_run="All" in request.query_lists.get("dryRun", ()),
        field_manager=_field_manager(request),
        is_apply=is_apply,
    )


def _field_manager(request: Request) -> str:
    """The owner of what a write sets: the one that the request names, or else the program that sends it."""
    manager = request.query.get("fieldManager")
    if not manager:
        return request.headers.get("user-agent", "unknown").partition("/")[0][:_MANAGER_LIMIT] or "unknown"
    return manager
