"""YAML into builtins of JSON's types, as Kubernetes reads manifests.

Plain scalars are numbers, ``true``/``false``, ``null`` or strings: no dates, no sexagesimals, no yes and no.
``0644`` and ``0o644`` are octal, since people write file modes so. Keys become strings. Anchors, aliases and
``<<`` work, but what aliases expand to is bounded. A megabyte takes about a second.
"""

import base64
import binascii
import math
import re
from typing import Any, Final

import yaml

from apimachinery.errors import BadRequest

MAX_ALIASED_NODES: Final = 100_000  # an alias bomb has billions, a hand-written manifest dozens
MAX_DEPTH: Final = 200

_TAG: Final = "tag:yaml.org,2002:"
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_RADIX: Final = re.compile(r"[-+]?(?:0o?(?P<octal>[0-7]+)|0x(?P<hex>[0-9a-fA-F]+)|0b(?P<binary>[01]+))\Z")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_WORDS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_NOT_JSON: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")


def load(data: bytes) -> tuple[Any, list[str]]:
    """One document, and a warning for each duplicate key (the last one counts).

    Raises:
        BadRequest: malformed, not representable as JSON, or more than one document.
    """
    documents = load_all(data)
    if len(documents) > 1:
        raise BadRequest(f"expected one YAML document, found {len(documents)}")
    return documents[0] if documents else (None, [])


def load_all(data: bytes) -> list[tuple[Any, list[str]]]:
    """Every document that is not empty, each with its warnings about duplicate keys.

    Raises:
        BadRequest: malformed or not representable as JSON.
    """
    documents = []
    try:
        # Events, not nodes: composing recurses in C without a limit, and deep nesting ends the process.
        for event in yaml.parse(data, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.DocumentStartEvent):
                document = _Document()
            elif isinstance(event, yaml.DocumentEndEvent):
                documents.append((document.root, document.duplicates))
            elif isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
                document.take(event)
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise _malformed(exc) from exc
    return [document for document in documents if document[0] is not None]


class _List:
    """A sequence that is still being read."""

    def __init__(self, anchor: str | None) -> None:
        self.anchor = anchor
        self.value: list[Any] = []
        self.size = 1  # nodes, aliases expanded

    def add(self, value: Any, event: yaml.Event, duplicates: list[str]) -> None:
        self.value.append(value)


class _Map:
    """A mapping that is still being read; keys and values arrive in turn."""

    def __init__(self, anchor: str | None) -> None:
        self.anchor = anchor
        self.value: dict[str, Any] = {}
        self.size = 1
        self._merged: dict[str, Any] = {}  # what ``<<`` brought: the map's own keys win over it
        self._key: str | None = None
        self._merging = False

    def add(self, value: Any, event: yaml.Event, duplicates: list[str]) -> None:
        if self._merging:
            self._merge(value, event)
            self._merging = False
        elif self._key is not None:
            self.value[self._key] = value
            self._key = None
        elif _is_plain(event) and value == "<<":
            self._merging = True
        else:
            self._key = _key(value, event)
            if self._key in self.value:
                duplicates.append(f'line {_line(event)}: key "{self._key}" already set in map')

    def finish(self) -> dict[str, Any]:
        for key, value in self._merged.items():
            self.value.setdefault(key, value)
        return self.value

    def _merge(self, value: Any, event: yaml.Event) -> None:
        """``<<: *a`` or ``<<: [*a, *b]``; of several the first wins."""
        for source in value if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                raise _fault(event, "map merge requires map or sequence of maps as the value")
            for key, inherited in source.items():
                self._merged.setdefault(key, inherited)


class _Document:
    """Builds one document from events. Aliases share their target, so the result is read only."""

    def __init__(self) -> None:
        self.root: Any = None
        self.duplicates: list[str] = []
        self._stack: list[_List | _Map] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._aliased = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._put(_scalar(event), 1, event.anchor, event)
            case yaml.AliasEvent():
                self._put(*self._alias(event), None, event)
            case yaml.SequenceStartEvent():
                self._open(_List(event.anchor), event)
            case yaml.MappingStartEvent():
                self._open(_Map(event.anchor), event)
            case _:
                done = self._stack.pop()
                value = done.finish() if isinstance(done, _Map) else done.value
                self._put(value, done.size, done.anchor, event)

    def _open(self, collection: _List | _Map, event: yaml.Event) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise _fault(event, f"nested more than {MAX_DEPTH} deep")
        self._stack.append(collection)

    def _put(self, value: Any, size: int, anchor: str | None, event: yaml.Event) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, size)
        if not self._stack:
            self.root = value
            return
        self._stack[-1].size += size
        self._stack[-1].add(value, event, self.duplicates)

    def _alias(self, event: yaml.AliasEvent) -> tuple[Any, int]:
        if event.anchor not in self._anchors:
            if any(collection.anchor == event.anchor for collection in self._stack):
                raise _fault(event, f"anchor '{event.anchor}' value contains itself")
            raise _fault(event, f"unknown anchor '{event.anchor}' referenced")
        value, size = self._anchors[event.anchor]
        self._aliased += size
        if self._aliased > MAX_ALIASED_NODES:
            raise _fault(event, "document contains excessive aliasing")
        return value, size


def _key(value: Any, event: yaml.Event) -> str:
    match value:
        case str() as text:
            return text
        case bool() as truth:
            return "true" if truth else "false"
        case int() | float() as number:
            return str(number)
    raise _fault(event, "a key must be a string, a number or a boolean")


def _is_plain(event: yaml.Event) -> bool:
    """Whether a scalar is plain in YAML's sense: without a tag and not quoted."""
    return isinstance(event, yaml.ScalarEvent) and event.tag is None and bool(event.implicit[0])


def _scalar(event: yaml.ScalarEvent) -> Any:
    text: str = event.value
    if event.tag is None:
        return _plain(text, event) if event.implicit[0] else text
    match event.tag.removeprefix(_TAG):
        case "int" | "float" | "bool" | "null":
            value = _plain(text, event)
            if isinstance(value, str):
                raise _fault(event, f"cannot decode {text!r} as {event.tag}")
            return value
        case "binary":
            return _binary(text, event)
    return text


def _plain(text: str, event: yaml.Event) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.match(text):
        return _integer(int(text)) if len(text) < 400 else text
    if match := _RADIX.match(text):
        digits, base = next((match[name], base) for name, base in _BASES if match[name])
        number = int(digits, base)
        return _integer(-number if text[0] == "-" else number)
    if _FLOAT.match(text):
        return _float(float(text), event)
    if _NOT_JSON.match(text):
        raise _fault(event, f"{text} has no JSON form")
    return text


_BASES: Final = (("octal", 8), ("hex", 16), ("binary", 2))


def _integer(number: int) -> int | float:
    """JSON readers keep 64 bits; beyond, Go's YAML library falls back to a float."""
    return number if -(2**63) <= number < 2**64 else float(number)


def _float(number: float, event: yaml.Event) -> int | float:
    """A whole number is written without a fraction, as Go writes it."""
    if math.isinf(number):
        raise _fault(event, f"{number} has no JSON form")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _binary(text: str, event: yaml.Event) -> str:
    try:
        return base64.b64decode(text, validate=False).decode()
    except (binascii.Error, UnicodeDecodeError) as fault:
        raise _fault(event, "!!binary: the value must be the base64 form of UTF-8 text") from fault


def _line(event: yaml.Event) -> int:
    return int(event.start_mark.line) + 1 if event.start_mark else 0


def _malformed(exc: Exception) -> BadRequest:
    """The scanner's error, on one line. It reads ahead, so from libyaml 0.2.6 on its own depth limit may come first."""
    if not isinstance(exc, yaml.MarkedYAMLError):
        return BadRequest("the body is not valid YAML: it must be UTF-8 text without control characters")
    problem = exc.problem or exc.context or "malformed"
    if "nesting depth" in problem:
        problem = f"nested more than {MAX_DEPTH} deep"
    line = exc.problem_mark.line + 1 if exc.problem_mark else 0
    return BadRequest(f"the body is not valid YAML: line {line}: {problem}")


def _fault(event: yaml.Event, why: str) -> BadRequest:
    return BadRequest(f"the body is not valid YAML: line {_line(event)}: {why}")
