"""Whether rules that somebody has allow all that other rules would: what keeps a user from granting more than that.

Facts of Kubernetes' component-helpers/auth/rbac/validation (``Covers``) and pkg/registry/rbac/validation
(``CompactRules``).
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Final, NamedTuple

from apimachinery.types.rbac_v1 import PolicyRule
from apiserver.authorization.rbac.rules import Rule, Table, compiled

_MOST: Final = 10_000
"""Single permissions that are looked at each on its own, some 10 ms of work. Rules that combine more have to be covered
each by one other rule as a whole."""
_LINES: Final = 100


class Single(NamedTuple):
    """A permission that cannot be divided: to do one thing to one resource (all of its objects, or one), or to one path."""

    verb: str
    group: str = ""
    resource: str = ""
    name: str = ""
    path: str = ""


def missing(rules: Iterable[PolicyRule], owned: Iterable[PolicyRule]) -> list[PolicyRule]:
    """What the owned rules do not allow of the others, in as few rules as Kubernetes names; empty if they allow all."""
    own = [compiled(rule) for rule in owned]
    table = Table[bool]()
    table.add(own, True)
    lacking: dict[Single, None] = {}
    wide, left = [], _MOST
    for rule in rules:
        if (left := left - _count(rule)) >= 0:
            lacking |= dict.fromkeys(single for single in _singles(rule) if not _is_allowed(single, table))
        elif not _is_covered_whole(compiled(rule), own):
            wide.append(rule)
    return [*wide, *_compact(lacking)]


def is_covered(rule: PolicyRule, owned: Sequence[PolicyRule]) -> bool:
    """Whether everything that a rule allows is allowed by these already, by one or several of them together."""
    return not missing([rule], owned)


def describe(rules: Iterable[PolicyRule]) -> str:
    """A line for each rule, as Kubernetes writes them into its refusals; the first hundred."""
    lines = sorted({_line(rule) for rule in rules})
    more = [f"and {len(lines) - _LINES} more"] if len(lines) > _LINES else []
    return "\n".join(lines[:_LINES] + more)


def _count(rule: PolicyRule) -> int:
    resources = prod(len(words or ()) for words in (rule.verbs, rule.api_groups, rule.resources))
    return resources * len(rule.resource_names or ("",)) + len(rule.verbs) * len(rule.non_resource_urls or ())


def _singles(rule: PolicyRule) -> Iterator[Single]:
    names = rule.resource_names or ("",)
    for group, resource, verb, name in product(rule.api_groups or (), rule.resources or (), rule.verbs, names):
        yield Single(verb, group, resource, name)
    for path, verb in product(rule.non_resource_urls or (), rule.verbs):
        yield Single(verb, path=path)


def _is_allowed(single: Single, table: Table[bool]) -> bool:
    if single.path:
        return table.path(single.verb, single.path) is not None
    resource, _, subresource = single.resource.partition("/")
    return table.resource(single.verb, single.group, resource, subresource, single.name) is not None


def _is_covered_whole(rule: Rule, owned: Iterable[Rule]) -> bool:
    """Whether a single one of the owned rules allows all that another does."""
    for own in owned:
        if not (
            _includes(own.verbs, rule.verbs) and _includes(own.groups, rule.groups) and _includes(own.names, rule.names)
        ):
            continue
        table = Table[bool]()
        table.add([own._replace(verbs=None, groups=None, names=None)], True)
        singles = [Single("", resource=resource) for resource in rule.resources]
        singles += [Single("", path=path) for path in rule.paths]
        if all(_is_allowed(single, table) for single in singles):
            return True
    return False


def _includes(words: frozenset[str] | None, others: frozenset[str] | None) -> bool:
    return words is None or (others is not None and others <= words)


def _compact(singles: Iterable[Single]) -> list[PolicyRule]:
    """One rule for all verbs of the same resource and object."""
    verbs: dict[Single, list[str]] = {}
    rules = []
    for single in singles:
        if single.path:
            rules.append(PolicyRule(verbs=[single.verb], non_resource_urls=[single.path]))
        else:
            verbs.setdefault(single._replace(verb=""), []).append(single.verb)
    for (_, group, resource, name, _), of_it in verbs.items():
        names = [name] if name else None
        rules.append(PolicyRule(verbs=of_it, api_groups=[group], resources=[resource], resource_names=names))
    return rules


def _line(rule: PolicyRule) -> str:
    fields = (
        ("APIGroups", rule.api_groups),
        ("Resources", rule.resources),
        ("NonResourceURLs", rule.non_resource_urls),
        ("ResourceNames", rule.resource_names),
        ("Verbs", rule.verbs),
    )
    said = ", ".join(f"{name}:{_quoted(words)}" for name, words in fields if words)
    return f"{{{said}}}"


def _quoted(words: Sequence[str]) -> str:
    shown = " ".join(json.dumps(word, ensure_ascii=False) for word in words[:_LINES])
    return f"[{shown} ...]" if len(words) > _LINES else f"[{shown}]"
