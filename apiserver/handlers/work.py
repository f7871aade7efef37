"""What a request costs: milliseconds that it would hold the event loop at worst, before anything of it is done.

The figures were measured, on the worst documents that were found for each kind of work; what is usual costs a tenth.
They need not be exact. They decide how many seats a request takes, and whether it is served in a process beside.
"""

from typing import Final

from apimachinery.types.objects import KubeObject
from apiserver.handlers import patches
from apiserver.handlers.body import media_type
from apiserver.handlers.http import Request
from apiserver.handlers.negotiation import JSON, PROTOBUF, YAML
from apiserver.handlers.rendering import Renderer
from apiserver.handlers.verbs import Call
from apiserver.registry.resource import Served
from apiserver.request import Attributes

TOO_MUCH: Final = 50.0
"""Milliseconds. What costs more is not done on the event loop."""

_SEAT: Final = 2.0
_MOST_SEATS: Final = 25

_UNKNOWN_LENGTH: Final = 3072.0  # kB: the most that a body may have

# per kB of a body
_READ: Final = {JSON: 1.2, PROTOBUF: 1.5, YAML: 2.5, patches.APPLY: 1.5}
_READ_OTHER: Final = 1.2
_READ_YAML: Final = 2.5
_JSON_PATCH: Final = "application/json-patch+json"
_OPERATIONS: Final = 20.0  # operations of a JSON patch in a kB

# per kB of an object that is stored
_CHANGE: Final = 0.4
_OPERATION: Final = 0.1  # each operation of a JSON patch may copy or compare all of it
_WRITTEN: Final = {JSON: 0.0005, YAML: 1.0, PROTOBUF: 0.5}

# per object of a list
_LISTED: Final = {JSON: 0.002, YAML: 3.0, PROTOBUF: 1.0}
_SHAPED: Final = 0.03  # as a row of a table; or decoded, for a selector
_REQUIREMENT: Final = 0.04  # for each kB of selectors

_WRITES: Final = ("create", "update", "patch")


def seats(milliseconds: float) -> int:
    return min(1 + int(milliseconds / _SEAT), _MOST_SEATS)


def cost(call: Call, verb: str) -> float:
    """Of a request that is not a stream."""
    request, attributes, served, out = call.request, call.attributes, call.served, call.out
    if verb == "get":
        return 0.0 if out.form.media_type == JSON else served.size(call.key) / 1024 * _WRITTEN[out.form.media_type]
    if verb == "list":
        return _of_list(request, attributes, served, out)
    if verb in _WRITES:
        body = _body_kb(request)
        if verb == "create":
            return body * (_READ.get(media_type(request), _READ_YAML) + _WRITTEN[out.form.media_type])
        return _of_change(request, body, served.size(call.key) / 1024, out)
    return 10.0 if verb == "deletecollection" else 0.0


def _of_change(request: Request, body: float, stored: float, out: Renderer) -> float:
    kind = media_type(request)
    work = body * _READ.get(kind, _READ_OTHER if kind.endswith("+json") else _READ_YAML) + stored * _CHANGE
    if kind == _JSON_PATCH:
        work += body * _OPERATIONS * stored * _OPERATION
    return work + (body + stored) * _WRITTEN[out.form.media_type]


def _of_list(request: Request, attributes: Attributes, served: Served[KubeObject], out: Renderer) -> float:
    objects, query = served.count(attributes.namespace), request.query
    each = _LISTED[out.form.media_type]
    limit = query.get("limit", "")
    if "labelSelector" in query or "fieldSelector" in query:
        each += _SHAPED + _REQUIREMENT * len(request.scope["query_string"]) / 1024
    elif limit.isdecimal() and 0 < int(limit[:9]) < objects:
        objects = int(limit[:9])
    return objects * (each + (0.0 if out.is_plain else _SHAPED))


def _body_kb(request: Request) -> float:
    length = request.headers.get("content-length", "")
    if "content-encoding" in request.headers or not length.isdecimal():
        return _UNKNOWN_LENGTH if length != "" or "transfer-encoding" in request.headers else 0.0
    return min(int(length[:9]) / 1024, _UNKNOWN_LENGTH)
