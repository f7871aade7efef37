"""Config maps: plain data for containers."""

import base64
import binascii
from collections.abc import Iterator
from typing import Final

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import ConfigMap
from apiserver.registry import columns
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy

DATA_LIMIT: Final = 1024 * 1024  # bytes of all values of a config map or secret


def decoded_size(path: Path, value: str) -> tuple[int, list[FieldError]]:
    """The bytes behind a base64 value, or the fault of it."""
    try:
        return len(base64.b64decode(value, validate=True)), []
    except (binascii.Error, ValueError):
        return 0, [path.invalid("", "illegal base64 data")]  # the value may be secret


def unwrapped(values: dict[str, str] | None) -> None:
    """Remove line breaks from base64 values: Go's decoder ignores them, and manifests are full of them."""
    for key, text in (values or {}).items():
        if values is not None and ("\n" in text or "\r" in text):
            values[key] = text.replace("\n", "").replace("\r", "")


class ConfigMapStrategy(Strategy[ConfigMap]):
    def default(self, obj: ConfigMap) -> None:
        unwrapped(obj.binary_data)

    def validate(self, obj: ConfigMap) -> Iterator[FieldError]:
        total = 0
        for key, text in (obj.data or {}).items():
            yield from names.check(Path("data").key(key), key, names.config_key)
            if key in (obj.binary_data or {}):
                yield Path("data").key(key).invalid(key, "duplicate of key present in binaryData")
            total += len(text.encode())
        for key, text in (obj.binary_data or {}).items():
            yield from names.check(Path("binaryData").key(key), key, names.config_key)
            size, faults = decoded_size(Path("binaryData").key(key), text)
            yield from faults
            total += size
        if total > DATA_LIMIT:
            yield Path("data").too_long(DATA_LIMIT)

    def validate_update(self, obj: ConfigMap, old: ConfigMap) -> Iterator[FieldError]:
        if old.immutable:
            for field, after, before in (
                ("immutable", obj.immutable, old.immutable),
                ("data", obj.data, old.data),
                ("binaryData", obj.binary_data, old.binary_data),
            ):
                if after != before:
                    yield Path(field).forbidden("field is immutable when `immutable` is set")


CONFIG_MAPS = StoredResource(
    ConfigMap,
    ConfigMapStrategy(),
    singular="configmap",
    short_names=("cm",),
    columns=(
        columns.name(),
        columns.Column("Data", lambda obj: len(obj.data or ()) + len(obj.binary_data or ()), type="integer"),
        columns.age(),
    ),
)
