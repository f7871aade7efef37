"""Reading what a client sends: JSON, YAML or Kubernetes protobuf, into typed objects.

Fields that nobody knows, or that stand twice, are dropped, told of or refused, as ``fieldValidation`` asks.
"""

import asyncio
from typing import Any, Final, TypeVar

from apimachinery import codec, errors, yaml_loader
from apimachinery.field_check import strict_error, unknown_and_duplicate
from apimachinery.schema import protobuf
from apimachinery.schema.definitions import definition_name
from apimachinery.types.objects import KubeObject
from apiserver.handlers.http import Request
from apiserver.handlers.negotiation import JSON, PROTOBUF, YAML

T = TypeVar("T")

FIELD_VALIDATION: Final = ("Ignore", "Warn", "Strict")
_THREAD_FROM: Final = 64 * 1024  # bytes of YAML above which the parser must not hold up the loop
_SAME_AS: Final = {("policy/v1beta1", "Eviction"): "policy/v1"}
"""What old clients, such as kubectl 1.20 when it drains, still send in a version that is not served any more."""
_YAML_TYPES: Final = (YAML, "application/x-yaml", "text/yaml")


def media_type(request: Request) -> str:
    """The body's media type without parameters; a client that says nothing sends JSON."""
    return request.headers.get("content-type", JSON).partition(";")[0].strip().lower() or JSON


def field_validation(request: Request) -> str:
    """Ignore, Warn or Strict. Raises BadRequest for anything else."""
    wanted = request.query.get("fieldValidation") or "Warn"
    if wanted not in FIELD_VALIDATION:
        allowed = ", ".join(f'"{one}"' for one in FIELD_VALIDATION)
        raise errors.BadRequest(f'fieldValidation: Unsupported value: "{wanted}": supported values: {allowed}')
    return wanted


async def read_object(request: Request, cls: type[T], api_version: str, kind: str) -> T:
    """The object in the body, which must be of this kind (or not say what it is).

    Raises:
        BadRequest: it cannot be read, or is of another kind, or has faults and validation is strict.
        UnsupportedMediaType: in a form that nobody here reads.
    """
    data, found = await _as_json(request)
    group, _, version = api_version.rpartition("/")
    definition = definition_name(group, version, kind)
    if data.strip() in (b"", b"null"):
        raise errors.BadRequest("the body is empty; an object is expected")
    if definition is not None and media_type(request) != PROTOBUF:
        check_fields(request, data, definition, found)
    obj = codec.decode(data, cls)
    if isinstance(obj, KubeObject):
        check_kind(obj, api_version, kind)
    return obj


def check_fields(request: Request, data: bytes, definition: str, found: list[str]) -> None:
    """Warn of, or refuse, what is wrong with a document's fields. ``found`` is known already."""
    wanted = field_validation(request)
    if wanted == "Ignore":
        return
    faults = [*found, *unknown_and_duplicate(data, definition)]
    if not faults:
        return
    if wanted == "Strict":
        raise strict_error(faults)
    request.warnings.extend(faults)


async def _as_json(request: Request) -> tuple[bytes, list[str]]:
    """The body as JSON, with the duplicate fields that only its own syntax shows."""
    data = await request.body()
    kind = media_type(request)
    if kind == JSON:
        return data, []
    if kind in _YAML_TYPES:
        load = yaml_loader.load
        document, found = await asyncio.to_thread(load, data) if len(data) > _THREAD_FROM else load(data)
        return codec.encode(document), found
    if kind == PROTOBUF:
        api_version, name, document = protobuf.decode(data)
        return codec.encode({**document, "apiVersion": api_version, "kind": name}), []
    raise errors.UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {JSON}, {YAML}, {PROTOBUF}"
    )


def check_kind(obj: KubeObject, api_version: str, kind: str) -> None:
    """What is sent may leave out what it is; if it says so, it must be what the path says.

    The types preset both, so a wrong one shows in the decoded object. Raises BadRequest.
    """
    obj.api_version = _SAME_AS.get((obj.api_version or "", obj.kind or ""), obj.api_version)
    if obj.kind != kind or obj.api_version != api_version:
        if obj.api_version == api_version:
            raise errors.BadRequest(
                f"{obj.kind} in version {api_version!r} cannot be handled as a {kind}: the kind in the data "
                f"({obj.kind}) does not match the expected kind ({kind})"
            )
        raise errors.BadRequest(
            f"the API version in the data ({obj.api_version}) does not match the expected API version ({api_version})"
        )


async def read_document(request: Request) -> tuple[Any, bytes]:
    """A body that may be JSON or YAML, as builtins and as JSON: an apply patch."""
    data = await request.body()
    document, _ = yaml_loader.load(data)
    return document, codec.encode(document)
