"""Policy rules made ready for questions: may this be done, by any of these rules?

The semantics are Kubernetes' (pkg/apis/rbac/v1/evaluation_helpers.go): ``*`` stands for every verb, group or resource,
``*/scale`` for that subresource of every resource, and a trailing ``*`` of a path for whatever follows. Rules with names
allow nothing that names no object.
"""

from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from apimachinery.types.rbac_v1 import PolicyRule

T = TypeVar("T")


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
    """Many rules by what they are about, each with what it answers.

    As large as its rules are, whatever these combine. A question takes three look-ups, and a comparison for each rule
    about the same resource.
    """

    __slots__ = ("_paths", "_prefixes", "_resources")

    def __init__(self) -> None:
        self._resources: dict[str, list[tuple[Rule, T]]] = {}
        self._paths: dict[str, list[tuple[Rule, T]]] = {}
        self._prefixes: list[tuple[str, tuple[Rule, T]]] = []

    def add(self, rules: Iterable[Rule], answer: T) -> None:
        """Answer so what one of the rules allows, unless a rule that was added before allows it."""
        for rule in rules:
            self._add((rule, answer))

    def _add(self, entry: tuple[Rule, T]) -> None:
        rule = entry[0]
        for resource in rule.resources:
            self._resources.setdefault(resource, []).append(entry)
        for path in rule.paths:
            self._paths.setdefault(path, []).append(entry)
            if path.endswith("*"):
                self._prefixes.append((path.rstrip("*"), entry))

    def resource(self, verb: str, group: str, resource: str, subresource: str, name: str) -> T | None:
        """The answer of a rule that allows it; None if none does. ``name`` may be empty."""
        table = self._resources
        if not subresource:
            sorts: tuple[str, ...] = (resource, "*")
        else:
            sorts = (f"{resource}/{subresource}", f"*/{subresource}", "*")
        for sort in sorts:
            for (verbs, groups, _, names, _), answer in table.get(sort, ()):
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
        for prefix, (rule, answer) in self._prefixes:
            if path.startswith(prefix) and (rule.verbs is None or verb in rule.verbs):
                return answer
        return None
