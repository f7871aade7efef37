"""Secrets: data that should be shown to few."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Final

from apimachinery import codec, names
from apimachinery.core.well_known import SERVICE_ACCOUNT_NAME_ANNOTATION, SERVICE_ACCOUNT_TOKEN_TYPE
from apimachinery.errors import BadRequest
from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import Secret
from apiserver.registry import columns
from apiserver.registry.core.configmaps import DATA_LIMIT, decoded_size, unwrapped
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy

_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


_DOCKER: Final = ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson")


def _is_json_object(encoded: str) -> bool:
    """Whether base64 of JSON is that of an object; what is no base64 is refused elsewhere."""
    try:
        return isinstance(codec.parse(base64.b64decode(encoded, validate=True)), dict)
    except BadRequest:
        return False
    except (binascii.Error, ValueError):
        return True


class SecretStrategy(Strategy[Secret]):
    def default(self, obj: Secret) -> None:
        obj.type = obj.type or "Opaque"
        if obj.string_data:  # write only: it is stored as data
            written = {key: base64.b64encode(text.encode()).decode() for key, text in obj.string_data.items()}
            obj.data = {**(obj.data or {}), **written}
        obj.string_data = None
        unwrapped(obj.data)

    def validate(self, obj: Secret) -> Iterator[FieldError]:
        total, data = 0, obj.data or {}
        for key, text in data.items():
            yield from names.check(Path("data").key(key), key, names.config_key)
            size, faults = decoded_size(Path("data").key(key), text)
            yield from faults
            total += size
        if total > DATA_LIMIT:
            yield Path("data").too_long(DATA_LIMIT)
        for key in _NEEDED.get(obj.type or "", ()):
            if key not in data:
                yield Path("data").key(key).required()
            elif obj.type in _DOCKER and not _is_json_object(data[key]):
                yield Path("data").key(key).invalid("<secret contents redacted>", "must be a JSON object")
        if obj.type == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
            yield Path("data").key("username").required()
            yield Path("data").key("password").required()
        if obj.type == SERVICE_ACCOUNT_TOKEN_TYPE and not (obj.metadata.annotations or {}).get(
            SERVICE_ACCOUNT_NAME_ANNOTATION
        ):
            yield Path("metadata", "annotations").key(SERVICE_ACCOUNT_NAME_ANNOTATION).required()

    def validate_update(self, obj: Secret, old: Secret) -> Iterator[FieldError]:
        if obj.type != old.type:
            yield Path("type").invalid(obj.type, "field is immutable")
        if old.immutable:
            for field, after, before in (("immutable", obj.immutable, old.immutable), ("data", obj.data, old.data)):
                if after != before:
                    yield Path(field).forbidden("field is immutable when `immutable` is set")


SECRETS = StoredResource(
    Secret,
    SecretStrategy(),
    singular="secret",
    columns=(
        columns.name(),
        columns.Column("Type", lambda obj: obj.type),
        columns.Column("Data", lambda obj: len(obj.data or ()), type="integer"),
        columns.age(),
    ),
    fields={"type": lambda obj: obj.type or ""},
)
