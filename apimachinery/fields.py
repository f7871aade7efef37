"""Paths into an object, and the errors at them: the ``causes`` of an invalid object.

Reasons and wording are those of Kubernetes' ``field.Error``, since clients read them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec

_new: Final = object.__new__


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field. ``reason`` is the machine-readable word, ``field`` the path as users write it."""

    reason: str
    field: str
    detail: str

    def __str__(self) -> str:
        return f"{self.field}: {self.detail}"


class Path:
    """A place in an object: ``Path("spec") / "ports"`` and ``path[0]`` and ``path.key("a.b/c")``."""

    __slots__ = ("_text",)

    def __init__(self, *names: str) -> None:
        self._text = ".".join(names)

    # validation makes a path for every field that it looks at, so these do without the constructor

    def __truediv__(self, name: str) -> "Path":
        path = _new(Path)
        path._text = f"{self._text}.{name}" if self._text else name
        return path

    def __getitem__(self, index: int) -> "Path":
        path = _new(Path)
        path._text = f"{self._text}[{index}]"
        return path

    def key(self, key: str) -> "Path":
        path = _new(Path)
        path._text = f"{self._text}[{key}]"
        return path

    def __str__(self) -> str:
        return self._text or "<nil>"

    def required(self, detail: str = "") -> FieldError:
        return FieldError("FieldValueRequired", str(self), f"Required value: {detail}" if detail else "Required value")

    def invalid(self, value: Any, detail: str) -> FieldError:
        return FieldError("FieldValueInvalid", str(self), f"Invalid value: {_quoted(value)}: {detail}")

    def not_supported(self, value: Any, supported: Iterable[str]) -> FieldError:
        allowed = ", ".join(f'"{choice}"' for choice in supported)
        return FieldError(
            "FieldValueNotSupported",
            str(self),
            f"Unsupported value: {_quoted(value)}: supported values: {allowed}",
        )

    def forbidden(self, detail: str) -> FieldError:
        return FieldError("FieldValueForbidden", str(self), f"Forbidden: {detail}")

    def duplicate(self, value: Any) -> FieldError:
        return FieldError("FieldValueDuplicate", str(self), f"Duplicate value: {_quoted(value)}")

    def not_found(self, value: Any, detail: str = "") -> FieldError:
        why = f"Not found: {_quoted(value)}"
        return FieldError("FieldValueNotFound", str(self), f"{why}: {detail}" if detail else why)

    def too_long(self, limit: int) -> FieldError:
        return FieldError("FieldValueTooLong", str(self), f"Too long: may not be more than {limit} bytes")


def _quoted(value: Any) -> str:
    """A value as messages show it: as JSON, cut at 1,024 characters."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 1024 else f"{text[:1024]}..."


def immutable(path: Path, new: Any, old: Any) -> Iterator[FieldError]:
    """A field that an update may not change."""
    if new != old:
        yield path.invalid(new, "field is immutable")


class Faults(list[FieldError]):
    """Collects errors, for validators that do not yield them."""

    def add(self, faults: Iterable[FieldError]) -> Self:
        self.extend(faults)
        return self
