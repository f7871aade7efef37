"""Where a pod may run and how similar pods are spread: affinity, topology spread, tolerations, as in core/validation."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import LabelSelector
from apiserver.registry import field_rules

OPERATORS: Final = ("Equal", "Exists")
EFFECTS: Final = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_SCHEDULE_ACTIONS: Final = ("DoNotSchedule", "ScheduleAnyway")
_INCLUSION: Final = ("Honor", "Ignore")


def validate_placement(path: Path, spec: v1.PodSpec) -> Iterator[FieldError]:
    """Every fault of these three."""
    if spec.affinity is not None:
        yield from _affinity(path / "affinity", spec.affinity)
    yield from _tolerations(path / "tolerations", spec.tolerations or ())
    yield from _spread(path / "topologySpreadConstraints", spec.topology_spread_constraints or ())


def _affinity(path: Path, affinity: v1.Affinity) -> Iterator[FieldError]:
    node = affinity.node_affinity
    if node is not None:
        place = path / "nodeAffinity"
        if node.required_during_scheduling_ignored_during_execution is not None:
            yield from validate_node_selector(
                place / _REQUIRED, node.required_during_scheduling_ignored_during_execution
            )
        for i, term in enumerate(node.preferred_during_scheduling_ignored_during_execution or ()):
            yield from _weight((place / _PREFERRED)[i], term.weight)
            yield from _node_term((place / _PREFERRED)[i] / "preference", term.preference)
    for field, pods in (("podAffinity", affinity.pod_affinity), ("podAntiAffinity", affinity.pod_anti_affinity)):
        if pods is None:
            continue
        place = path / field
        for i, required in enumerate(pods.required_during_scheduling_ignored_during_execution or ()):
            yield from _pod_term((place / _REQUIRED)[i], required)
        for i, weighted in enumerate(pods.preferred_during_scheduling_ignored_during_execution or ()):
            yield from _weight((place / _PREFERRED)[i], weighted.weight)
            yield from _pod_term((place / _PREFERRED)[i] / "podAffinityTerm", weighted.pod_affinity_term)


def _weight(path: Path, weight: int | None) -> Iterator[FieldError]:
    if not 1 <= (weight or 0) <= 100:
        yield (path / "weight").invalid(weight or 0, "must be in the range 1-100")


def validate_node_selector(path: Path, selector: v1.NodeSelector) -> Iterator[FieldError]:
    """Of a pod's affinity, or of the nodes that a volume can be reached from."""
    if not selector.node_selector_terms:
        yield (path / "nodeSelectorTerms").required("must have at least one node selector term")
    for i, term in enumerate(selector.node_selector_terms or ()):
        yield from _node_term((path / "nodeSelectorTerms")[i], term)


def _node_term(path: Path, term: v1.NodeSelectorTerm | None) -> Iterator[FieldError]:
    if term is None:
        return
    for i, requirement in enumerate(term.match_expressions or ()):
        yield from _node_expression((path / "matchExpressions")[i], requirement)
    for i, requirement in enumerate(term.match_fields or ()):
        yield from _node_field((path / "matchFields")[i], requirement)


def _node_expression(path: Path, requirement: v1.NodeSelectorRequirement) -> Iterator[FieldError]:
    values = requirement.values or []
    if requirement.operator in ("In", "NotIn"):
        if not values:
            yield (path / "values").required("must be specified when `operator` is 'In' or 'NotIn'")
    elif requirement.operator in ("Exists", "DoesNotExist"):
        if values:
            yield (path / "values").forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif requirement.operator in ("Gt", "Lt"):
        if len(values) != 1:
            yield (path / "values").required("must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield (path / "operator").invalid(requirement.operator, "not a valid selector operator")
    yield from names.check(path / "key", requirement.key, names.qualified_name)
    for i, value in enumerate(values):
        yield from names.check((path / "values")[i], value, names.label_value)


def _node_field(path: Path, requirement: v1.NodeSelectorRequirement) -> Iterator[FieldError]:
    """A node can be chosen by its name alone."""
    values = requirement.values or []
    if requirement.operator not in ("In", "NotIn"):
        yield (path / "operator").invalid(requirement.operator, "not a valid selector operator")
    elif len(values) != 1:
        yield (path / "values").required(
            "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        )
    if requirement.key != "metadata.name":
        yield (path / "key").invalid(requirement.key, "not a valid field selector key")
        return
    for i, value in enumerate(values):
        yield from names.check((path / "values")[i], value, names.dns_subdomain)


def _pod_term(path: Path, term: v1.PodAffinityTerm | None) -> Iterator[FieldError]:
    term = term or v1.PodAffinityTerm()
    yield from field_rules.validate_selector(path / "labelSelector", term.label_selector)
    yield from field_rules.validate_selector(path / "namespaceSelector", term.namespace_selector)
    for namespace in term.namespaces or ():
        yield from names.check(path / "namespace", namespace, names.dns_label)
    yield from _label_keys(path, "matchLabelKeys", term.match_label_keys, term.label_selector)
    yield from _label_keys(path, "mismatchLabelKeys", term.mismatch_label_keys, term.label_selector)
    both = set(term.match_label_keys or ()) & set(term.mismatch_label_keys or ())
    for i, key in enumerate(term.match_label_keys or ()):
        if key in both:
            yield (path / "matchLabelKeys")[i].invalid(key, "exists in both matchLabelKeys and mismatchLabelKeys")
    yield from _topology_key(path / "topologyKey", term.topology_key)


def _label_keys(
    path: Path, field: str, keys: Sequence[str] | None, selector: LabelSelector | None
) -> Iterator[FieldError]:
    if keys and selector is None:
        yield (path / field).forbidden("must not be specified when labelSelector is not set")
        return
    for i, key in enumerate(keys or ()):
        yield from names.check((path / field)[i], key, names.qualified_name)


def _topology_key(path: Path, key: str | None) -> Iterator[FieldError]:
    if not key:
        yield path.required("can not be empty")
    else:
        yield from names.check(path, key, names.qualified_name)


def _spread(path: Path, constraints: Iterable[v1.TopologySpreadConstraint]) -> Iterator[FieldError]:
    earlier: set[tuple[str, str]] = set()
    for i, constraint in enumerate(constraints):
        place = path[i]
        if constraint.max_skew <= 0:
            yield (place / "maxSkew").invalid(constraint.max_skew, "must be greater than zero")
        yield from _topology_key(place / "topologyKey", constraint.topology_key)
        if constraint.when_unsatisfiable not in _SCHEDULE_ACTIONS:
            yield (place / "whenUnsatisfiable").not_supported(constraint.when_unsatisfiable, _SCHEDULE_ACTIONS)
        pair = (constraint.topology_key, constraint.when_unsatisfiable)
        if pair in earlier:
            yield (place / "{topologyKey, whenUnsatisfiable}").duplicate(f"{{{pair[0]}, {pair[1]}}}")
        earlier.add(pair)
        if constraint.min_domains is not None:
            if constraint.min_domains <= 0:
                yield (place / "minDomains").invalid(constraint.min_domains, "must be greater than zero")
            if constraint.when_unsatisfiable != "DoNotSchedule":
                yield (place / "minDomains").invalid(
                    constraint.min_domains,
                    f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {constraint.when_unsatisfiable}",
                )
        for field, policy in (
            ("nodeAffinityPolicy", constraint.node_affinity_policy), ("nodeTaintsPolicy", constraint.node_taints_policy),
        ):  # fmt: skip
            if policy is not None and policy not in _INCLUSION:
                yield (place / field).not_supported(policy, _INCLUSION)
        yield from _label_keys(place, "matchLabelKeys", constraint.match_label_keys, constraint.label_selector)
        yield from field_rules.validate_selector(place / "labelSelector", constraint.label_selector)


def _tolerations(path: Path, tolerations: Iterable[v1.Toleration]) -> Iterator[FieldError]:
    for i, toleration in enumerate(tolerations):
        operator, place = toleration.operator or "Equal", path[i]
        if toleration.key:
            yield from names.check(place / "key", toleration.key, names.qualified_name)
        elif operator != "Exists":
            yield (place / "operator").invalid(
                toleration.operator or "",
                'operator must be Exists when `key` is empty, which means "match all values and all keys"',
            )
        if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
            yield (place / "effect").invalid(
                toleration.effect or "", "effect must be 'NoExecute' when `tolerationSeconds` is set"
            )
        if operator == "Exists":
            if toleration.value:
                yield (place / "operator").invalid(toleration.value, "value must be empty when `operator` is 'Exists'")
        elif operator == "Equal":
            yield from names.check(place / "operator", toleration.value or "", names.label_value)
        else:
            yield (place / "operator").not_supported(operator, OPERATORS)
        if toleration.effect and toleration.effect not in EFFECTS:
            yield (place / "effect").not_supported(toleration.effect, EFFECTS)
