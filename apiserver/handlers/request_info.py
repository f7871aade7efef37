"""What a request asks for, read off its method, path and query alone: by that it is authorized before anything is
looked up, so that nobody learns what exists from how they are refused. The rules are Kubernetes' (request.RequestInfo).
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from apimachinery import names
from apimachinery.selectors import FieldSelector, parse_fields
from apiserver.handlers.http import Request
from apiserver.registry.resource import not_allowed
from apiserver.request import Attributes, Remarks, User

API: Final = ("/api/", "/apis/")
_VERBS: Final = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_OF_COLLECTIONS: Final = {"get": "list", "delete": "deletecollection"}
_ALL: Final = FieldSelector()


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


def asked(request: Request, user: User) -> tuple[Attributes, Place | None]:
    """The request as it is authorized, and the place in the API that it names.

    None stands for discovery documents and for what is outside the API; their verb is the lower-case method. About
    resources, a method that Kubernetes does not know has no verb.
    """
    place = None
    if request.path.startswith(API):
        parts = request.path.strip("/").split("/")
        place = _watched(request, parts) or locate(parts)
    if place is None:
        return Attributes(user, request.method.lower(), request.path), None
    return _attributes(request, user, place), place


def _attributes(request: Request, user: User, place: Place) -> Attributes:
    verb, name, fields = _VERBS.get(request.method, ""), place.name, _ALL
    if not name:
        verb = _OF_COLLECTIONS.get(verb, verb)
        if verb == "list" and request.flag("watch"):
            verb = "watch"
        if verb in ("list", "watch", "deletecollection"):
            fields = _fields(request)
            name = _only_name(fields)
    return Attributes(
        user=user,
        verb=verb,
        path=request.path,
        group=place.group,
        version=place.version,
        resource=place.resource,
        subresource=place.subresource,
        namespace=place.namespace,
        name=name,
        fields=fields,
        remarks=Remarks(request.warnings),
    )


def _fields(request: Request) -> FieldSelector:
    text = request.query.get("fieldSelector", "")
    if not text:
        return _ALL
    try:
        return parse_fields(text)
    except ValueError:  # its own refusal follows
        return _ALL


def _only_name(fields: FieldSelector) -> str:
    """The one object that a field selector leaves of a collection; "" if there may be several."""
    name = fields.exact("metadata.name")
    return name if name and names.path_segment(name) is None else ""
