"""What all generated types share: their base class, and the scalar types of the API."""

from collections.abc import Callable
from typing import Annotated, Any, Final

from msgspec import Meta, Raw, Struct

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_RFC_3339: Final = (
    r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z"
)
# kept as strings: most timestamps are only passed on; made canonical on write, see apimachinery.times
Time = Annotated[str, Meta(pattern=_RFC_3339)]
MicroTime = Annotated[str, Meta(pattern=_RFC_3339, title="MicroTime")]
Quantity = str | int | float  # made canonical on write, see apimachinery.quantity
IntOrString = int | str
JSON = Any
FieldsV1 = Raw  # kept as bytes: one tree of dicts per manager would be larger than the object itself

NO_FIELDS: Final = Raw()


class ApiStruct(Struct, kw_only=True, omit_defaults=True, gc=False):
    """A type of the API. Never part of a reference cycle, so the garbage collector can skip it."""


def constant(value: str) -> Callable[[], str]:
    """A default that is encoded, as ``kind`` and ``apiVersion`` must be (plain defaults are omitted)."""
    return lambda: value


def empty_list() -> list[Any]:
    """A default list that is encoded even when empty: Go always writes required lists."""
    return []


def empty_map() -> dict[str, Any]:
    """A default map that is encoded even when empty."""
    return {}
