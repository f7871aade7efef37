"""Policy rules made ready for questions: may this be done, by any of these rules?

The semantics are Kubernetes' (pkg/apis/rbac/v1/evaluation_helpers.go): ``*`` stands for every verb, group or resource,
``*/scale`` for that subresource of every resource, and a trailing ``*`` of a path for whatever follows. Rules with names
allow nothing that names no object.
"""

from collections.abc import Iterable
from itertools import product
from typing import Final, Generic, NamedTuple, TypeVar

from apimachinery.types.rbac_v1 import PolicyRule

T = TypeVar("T")


_WIDE: Final = 256
"""Combinations of one rule that are entered one by one."""
_MOST: Final = 50_000
"""Combinations of one table; what is added beyond them is compared rule by rule."""


class Rule(NamedTuple):
    """A policy rule; None is everything of its sort."""

    verbs: frozenset[str] | None
    groups: frozenset[str] | None
    resources: frozenset[str]
    names: frozenset[str] | None
    paths: frozenset[str]


def compiled(rule: PolicyRule) -> Rule:
    names = rule.resource_names
    return Rule(
        _choice(rule.verbs),
        _choice(rule.api_groups),
        frozenset(rule.resources or ()),
        frozenset(names) - {""} if names else None,
        frozenset(rule.non_resource_urls or ()),
    )


def _choice(words: Iterable[str] | None) -> frozenset[str] | None:
    chosen = frozenset(words or ())
    return None if "*" in chosen else chosen


class Table(Generic[T]):
    """Many rules, each with what it answers; the first that allows a thing counts.

    A question takes a few look-ups, and a comparison for each rule about the resource that says ``*`` or combines a lot.
    """

    __slots__ = ("_loose", "_named", "_paths", "_prefixes", "_whole")

    def __init__(self) -> None:
        self._whole: dict[tuple[str, str, str], T] = {}
        """By verb, group and resource, for all objects."""
        self._named: dict[tuple[str, str, str, str], T] = {}
        """By verb, group, resource and name."""
        self._loose: dict[str, list[tuple[Rule, T]]] = {}
        """By resource: rules that are not in the other two."""
        self._paths: dict[str, list[tuple[Rule, T]]] = {}
        self._prefixes: list[tuple[str, Rule, T]] = []

    def add(self, rules: Iterable[Rule], answer: T) -> None:
        for rule in rules:
            if rule.resources:
                self._add_resources(rule, answer)
            for path in rule.paths:
                self._paths.setdefault(path, []).append((rule, answer))
                if path.endswith("*"):
                    self._prefixes.append((path.rstrip("*"), rule, answer))

    def _add_resources(self, rule: Rule, answer: T) -> None:
        verbs, groups, resources, names, _ = rule
        room = min(_WIDE, _MOST - len(self._whole) - len(self._named))
        if (
            verbs is None
            or groups is None
            or len(verbs) * len(groups) * len(resources) * (1 if names is None else len(names)) > room
        ):
            for resource in resources:
                self._loose.setdefault(resource, []).append((rule, answer))
            return
        for key in product(verbs, groups, resources):
            if names is None:
                self._whole.setdefault(key, answer)
                continue
            for name in names:
                self._named.setdefault((*key, name), answer)

    def resource(self, verb: str, group: str, resource: str, subresource: str, name: str) -> T | None:
        """The answer of a rule that allows it; None if none does. ``name`` may be empty."""
        if not subresource:
            sorts: tuple[str, ...] = (resource, "*")
        else:
            sorts = (f"{resource}/{subresource}", f"*/{subresource}", "*")
        for sort in sorts:
            if (answer := self._whole.get((verb, group, sort))) is not None:
                return answer
            if self._named and (answer := self._named.get((verb, group, sort, name))) is not None:
                return answer
            for (verbs, groups, _, names, _), answer in self._loose.get(sort, ()):
                if (
                    (verbs is None or verb in verbs)
                    and (groups is None or group in groups)
                    and (names is None or name in names)
                ):
                    return answer
        return None

    def path(self, verb: str, path: str) -> T | None:
        """As ``resource``, of a path that names none."""
        for rule, answer in self._paths.get(path, ()):
            if rule.verbs is None or verb in rule.verbs:
                return answer
        for prefix, rule, answer in self._prefixes:
            if path.startswith(prefix) and (rule.verbs is None or verb in rule.verbs):
                return answer
        return None
