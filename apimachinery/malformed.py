"""What is wrong with a document that cannot be decoded, in the API's words: no decoder's own text reaches a client."""

import re
from typing import Final

import msgspec

_PLACE: Final = re.compile(r"(?P<what>.*) - at `(?:key` in `)?\$\.?(?P<path>.*)`", re.DOTALL)
_MISMATCH: Final = re.compile(r"Expected `(?P<allowed>[^`]*)`, got `(?P<found>[^`]*)`")
_BOUND: Final = re.compile(r"Expected `int` (?P<sign><=|>=) (?P<bound>-?\d+)")
_BYTE: Final = re.compile(r"\(byte (?P<at>\d+)\)")
_WORDS: Final = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "object": "an object",
    "array": "an array",
    "null": "null",
}
_TIME_FORM: Final = "must be a time such as 2006-01-02T15:04:05Z"


def syntax(fault: Exception) -> str:
    """Why bytes are no JSON; ``fault`` is msgspec's or json's error."""
    if isinstance(fault, RecursionError):
        return "it is nested too deep"
    if isinstance(fault, UnicodeDecodeError) or "UTF-8" in str(fault):
        return "it is not UTF-8 text"
    if (place := _BYTE.search(str(fault))) is not None:
        return f"unexpected character at byte {place['at']}"
    return "it ends too early"


def mismatch(fault: msgspec.ValidationError) -> str:
    """Which field has a value of another type than its own, or one out of its range."""
    place = _PLACE.match(str(fault))
    what, path = (place["what"], place["path"]) if place is not None else (str(fault), "")
    return f"{path}: {_rule(what)}" if path else _rule(what)


def _rule(what: str) -> str:
    if (mismatched := _MISMATCH.match(what)) is not None:
        return f"must be {_allowed(mismatched['allowed'])}, not {_WORDS.get(mismatched['found'], 'this')}"
    if (bound := _BOUND.match(what)) is not None:
        return f"must be {'at most' if bound['sign'] == '<=' else 'at least'} {bound['bound']}"
    if "matching regex" in what:
        return _TIME_FORM
    if "out of range" in what:
        return "the number is out of range"
    return "must be of another type"


def _allowed(union: str) -> str:
    kinds = [kind for kind in union.split(" | ") if kind != "null"]
    if "float" in kinds:
        kinds = [kind for kind in kinds if kind != "int"]
    return " or ".join(_WORDS.get(kind, "of another type") for kind in kinds)
