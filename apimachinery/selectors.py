"""Label and field selectors: which objects a list, a watch, a controller or a service selects.

Label selectors have two forms that may be mixed with commas, all of which must hold: equality-based
(``environment = production``, ``tier != frontend``) and set-based (``environment in (production, qa)``,
``tier notin (frontend, backend)``, ``partition``, ``!partition``). ``!=`` and ``notin`` also select
objects without the key.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from apimachinery.types.meta_v1 import LabelSelector as WireSelector

_PREFIX = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*"
_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
KEY: Final = re.compile(rf"(?:(?P<prefix>{_PREFIX})/)?(?P<name>{_NAME})\Z")
VALUE: Final = re.compile(rf"(?:{_NAME})?\Z")
_TOKEN: Final = re.compile(r"\s*(?:(?P<op>==|!=|=|!|\(|\)|,|<|>)|(?P<word>[^\s=!(),<>]+))")

MAX_LENGTH: Final = 64 * 1024
"""Characters of a selector in a request. A watch keeps what is parsed of it for as long as it is open."""
MAX_REQUIREMENTS: Final = 128
"""Requirements of such a selector: all may have to be compared for each event of each watch."""
MAX_WORDS: Final = 4096
"""Keys and values of such a selector together."""
_CACHED: Final = 256
"""Characters up to which what a selector means is remembered."""

KEY_RULE: Final = (
    "a label key is a name of at most 63 characters (letters, digits, '-', '_', '.', starting and ending with "
    "a letter or digit), optionally after a DNS prefix and '/'"
)
VALUE_RULE: Final = (
    "a label value is empty or at most 63 characters (letters, digits, '-', '_', '.', starting and ending "
    "with a letter or digit)"
)


def is_label_key(text: str) -> bool:
    match = KEY.match(text)
    return match is not None and len(match["name"]) <= 63 and len(match["prefix"] or "") <= 253


def is_label_value(text: str) -> bool:
    return len(text) <= 63 and VALUE.match(text) is not None


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition. ``operator`` is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
        return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        try:
            have, bound = int(value), int(next(iter(self.values)))
        except ValueError:
            return False
        return have > bound if self.operator == "Gt" else have < bound

    def __str__(self) -> str:
        values = ",".join(sorted(self.values))
        match self.operator:
            case "In":
                return f"{self.key}={values}" if len(self.values) == 1 else f"{self.key} in ({values})"
            case "NotIn":
                return f"{self.key}!={values}" if len(self.values) == 1 else f"{self.key} notin ({values})"
            case "Exists":
                return self.key
            case "DoesNotExist":
                return f"!{self.key}"
        return f"{self.key}{'>' if self.operator == 'Gt' else '<'}{values}"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold. Without requirements it selects everything, with ``nothing`` no object."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        return not self.nothing and all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


NOTHING: Final = LabelSelector(nothing=True)


def from_map(labels: Mapping[str, str] | None) -> LabelSelector:
    """The selector of a service or replication controller. Without labels it selects nothing."""
    if not labels:
        return NOTHING
    return LabelSelector(tuple(Requirement(k, "In", frozenset((v,))) for k, v in sorted(labels.items())))


def from_label_selector(selector: WireSelector | None) -> LabelSelector:
    """A ``metav1.LabelSelector``. None selects nothing, an empty one everything.

    Raises:
        ValueError: an unknown operator, or values missing or not allowed for the operator.
    """
    if selector is None:
        return NOTHING
    equal = from_map(selector.match_labels).requirements if selector.match_labels else ()
    terms = []
    for expression in selector.match_expressions or ():
        if expression.operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            raise ValueError(f"{expression.operator!r} is not a valid label selector operator")
        if (expression.operator in ("In", "NotIn")) is not bool(expression.values):
            raise ValueError(
                f"{expression.operator} of {expression.key!r} {'needs' if not expression.values else 'takes no'} values"
            )
        terms.append(Requirement(expression.key, expression.operator, frozenset(expression.values or ())))
    return LabelSelector((*equal, *terms))


class _Tokens:
    """The words and signs of a selector, with one token of lookahead."""

    def __init__(self, text: str) -> None:
        """Raises ValueError if there are too many."""
        self._text = text
        self._tokens = self._split(text)
        self._at = 0
        if sum(kind == "word" for kind, _ in self._tokens) > MAX_WORDS:
            raise ValueError(f"the label selector has more than {MAX_WORDS} keys and values")

    def _split(self, text: str) -> list[tuple[str, str]]:
        tokens, at = [], 0
        text = text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:  # unreachable: every character is a sign, a space or part of a word
                raise self.fault(f"unexpected {text[at]!r}")
            tokens.append(("op", match["op"]) if match["op"] else ("word", match["word"]))
            at = match.end()
        return tokens

    def peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def next(self) -> tuple[str, str]:
        token = self.peek()
        self._at += 1
        return token

    def word(self, what: str) -> str:
        kind, text = self.next()
        if kind != "word":
            raise self.fault(f"expected {what}, found {text or 'the end'!r}")
        return text

    def expect(self, sign: str) -> None:
        kind, text = self.next()
        if (kind, text) != ("op", sign):
            raise self.fault(f"expected {sign!r}, found {text or 'the end'!r}")

    def fault(self, why: str) -> ValueError:
        return ValueError(f"unable to parse the label selector {self._text!r}: {why}")


def parse_labels(text: str) -> LabelSelector:
    """Parse the ``labelSelector`` query parameter.

    Raises:
        ValueError: a syntax error; the message shows where. Or the selector is too large.
    """
    if len(text) <= _CACHED:
        return _labels_remembered(text)
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the label selector has more than {MAX_LENGTH} characters")
    return _labels(text)


def _labels(text: str) -> LabelSelector:
    tokens = _Tokens(text)
    requirements: list[Requirement] = []
    if tokens.peek()[0] == "end":
        return LabelSelector()
    while True:
        requirements.append(_requirement(tokens))
        if len(requirements) > MAX_REQUIREMENTS:
            raise ValueError(f"the label selector has more than {MAX_REQUIREMENTS} requirements")
        if tokens.peek()[0] == "end":
            return LabelSelector(tuple(requirements))
        tokens.expect(",")


_labels_remembered = lru_cache(maxsize=1024)(_labels)


def _requirement(tokens: _Tokens) -> Requirement:
    if tokens.peek() == ("op", "!"):
        tokens.next()
        return Requirement(_key(tokens), "DoesNotExist")
    key = _key(tokens)
    kind, sign = tokens.peek()
    if kind == "end" or sign == ",":
        return Requirement(key, "Exists")
    tokens.next()
    match sign:
        case "=" | "==" | "!=":
            return Requirement(key, "NotIn" if sign == "!=" else "In", frozenset((_value(tokens),)))
        case "in" | "notin":
            return Requirement(key, "In" if sign == "in" else "NotIn", _values(tokens))
        case ">" | "<":
            bound = tokens.word("a number")
            if not re.fullmatch(r"-?\d+", bound):
                raise tokens.fault(f"{bound!r} is not an integer")
            return Requirement(key, "Gt" if sign == ">" else "Lt", frozenset((bound,)))
    raise tokens.fault(f"expected an operator (=, ==, !=, in, notin, <, >), found {sign!r}")


def _key(tokens: _Tokens) -> str:
    key = tokens.word("a label key")
    if not is_label_key(key):
        raise tokens.fault(f"{key!r}: {KEY_RULE}")
    return key


def _value(tokens: _Tokens) -> str:
    kind, text = tokens.peek()
    if kind == "end" or text == ",":
        return ""
    text = tokens.word("a label value")
    if not is_label_value(text):
        raise tokens.fault(f"{text!r}: {VALUE_RULE}")
    return text


def _values(tokens: _Tokens) -> frozenset[str]:
    """``(a, b)``; nothing between two commas is the empty value, and at least one value is needed."""
    tokens.expect("(")
    if tokens.peek() == ("op", ")"):
        raise tokens.fault("for 'in', 'notin' operators, values set can't be empty")
    values = set()
    while True:
        if tokens.peek() in (("op", ","), ("op", ")")):
            values.add("")
        else:
            values.add(_value(tokens))
        kind, sign = tokens.next()
        if (kind, sign) == ("op", ")"):
            return frozenset(values)
        if (kind, sign) != ("op", ","):
            raise tokens.fault(f"expected ',' or ')', found {sign or 'the end'!r}")


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """``field = value`` or, with ``negated``, ``field != value``."""

    field: str
    value: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All requirements must hold. Each resource decides which fields it supports."""

    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, values: Mapping[str, str]) -> bool:
        return self.matches_by(lambda field: values.get(field, ""))

    def matches_by(self, lookup: Callable[[str], str]) -> bool:
        """As ``matches``, but looks up only the fields that the selector names."""
        return all(
            (lookup(requirement.field) == requirement.value) is not requirement.negated
            for requirement in self.requirements
        )

    def exact(self, field: str) -> str | None:
        """The value that ``field`` must have, if the selector says so."""
        for requirement in self.requirements:
            if requirement.field == field and not requirement.negated:
                return requirement.value
        return None


_FIELD: Final = re.compile(r"(?P<field>[^=!,]+)(?P<op>==|!=|=)(?P<value>(?:[^,=\\]|\\[,=\\])*)\Z")
_PART: Final = re.compile(r"(?:[^,\\]|\\.)+|\\\Z")  # an escaped comma does not end a requirement


def parse_fields(text: str) -> FieldSelector:
    r"""Parse the ``fieldSelector`` query parameter; ``\,`` ``\=`` ``\\`` are escapes.

    Raises:
        ValueError: a syntax error, or the selector is too large.
    """
    if len(text) <= _CACHED:
        return _fields_remembered(text)
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the field selector has more than {MAX_LENGTH} characters")
    return _fields(text)


def _fields(text: str) -> FieldSelector:
    requirements: list[FieldRequirement] = []
    for part in _PART.findall(text):
        if len(requirements) == MAX_REQUIREMENTS:
            raise ValueError(f"the field selector has more than {MAX_REQUIREMENTS} requirements")
        match = _FIELD.match(part)
        if match is None:
            raise ValueError(f"invalid field selector {part!r}: expected field=value, field==value or field!=value")
        value = re.sub(r"\\(.)", r"\1", match["value"])
        requirements.append(FieldRequirement(match["field"].strip(), value, match["op"] == "!="))
    return FieldSelector(tuple(requirements))


_fields_remembered = lru_cache(maxsize=1024)(_fields)
