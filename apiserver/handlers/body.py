"""Reading what a client sends: JSON, YAML or Kubernetes protobuf, into typed objects.

Unknown and duplicate fields are dropped, warned of or refused, as ``fieldValidation`` asks.
"""

from typing import Final, TypeVar

from apimachinery import codec, errors, yaml_loader
from apimachinery.field_check import strict_error, unknown_and_duplicate
from apimachinery.schema import protobuf
from apimachinery.types.objects import KubeObject
from apiserver.handlers.http import Request
from apiserver.handlers.negotiation import JSON, PROTOBUF, YAML
from apiserver.registry.resource import Kind

T = TypeVar("T")

_SAME_AS: Final = {("policy/v1beta1", "Eviction"): "policy/v1"}
"""What old clients, such as kubectl 1.20 when it drains, still send in a version that is no longer served."""
_YAML_TYPES: Final = (YAML, "application/x-yaml", "text/yaml")


def media_type(request: Request) -> str:
    """The body's media type without parameters; JSON if the client does not say."""
    return request.headers.get("content-type", JSON).partition(";")[0].strip().lower() or JSON


def field_validation(request: Request) -> str:
    """Ignore, Warn or Strict."""
    return request.query.get("fieldValidation") or "Warn"


async def read_object(request: Request, kind: Kind[T]) -> T:
    """The object in the body, which must be of this kind (or omit it).

    Raises:
        BadRequest: it cannot be read, or is of another kind, or has invalid fields and validation is strict.
        UnsupportedMediaType: it is in a format that is not supported.
    """
    content_type, data = media_type(request), await request.body()
    duplicates: list[str] = []
    if content_type != JSON:
        data, duplicates = as_json(content_type, data)
    if data.strip() in (b"", b"null"):
        raise errors.BadRequest("the body is empty; an object is expected")
    if kind.definition is not None and content_type != PROTOBUF:
        validation = field_validation(request)
        if validation != "Ignore" and (faults := [*duplicates, *unknown_and_duplicate(data, kind.definition)]):
            if validation == "Strict":
                raise strict_error(faults)
            request.warnings.extend(faults)
    obj = codec.decode(data, kind.type)
    if isinstance(obj, KubeObject):
        check_kind(obj, kind.api_version, kind.name)
    return obj


def as_json(content_type: str, data: bytes) -> tuple[bytes, list[str]]:
    """A body as JSON, with the duplicate fields that only its own syntax shows.

    Raises:
        BadRequest: it cannot be read.
        UnsupportedMediaType: it is in a format that is not supported.
    """
    if content_type in _YAML_TYPES:
        document, duplicates = yaml_loader.load(data)
        return codec.encode(document), duplicates
    if content_type == PROTOBUF:
        api_version, name, document = protobuf.decode(data)
        return codec.encode({**document, "apiVersion": api_version, "kind": name}), []
    raise errors.UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {JSON}, {YAML}, {PROTOBUF}"
    )


def check_kind(obj: KubeObject, api_version: str, kind: str) -> None:
    """A body may omit its kind and apiVersion; if it has them, they must be those of the path.

    The types preset both, so a wrong one is in the decoded object. Raises BadRequest.
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
