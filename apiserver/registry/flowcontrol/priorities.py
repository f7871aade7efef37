"""Flow schemas and priority levels: shares of the server, which ``apiserver/flowcontrol`` gives to requests."""

from collections.abc import Callable, Iterator
from typing import Final

from apimachinery.fields import FieldError, Path
from apimachinery.types.flowcontrol_v1 import (
    ExemptPriorityLevelConfiguration,
    FlowSchema,
    FlowSchemaStatus,
    LimitedPriorityLevelConfiguration,
    LimitResponse,
    PolicyRulesWithSubjects,
    PriorityLevelConfiguration,
    PriorityLevelConfigurationStatus,
    QueuingConfiguration,
)
from apiserver.registry import columns, field_rules
from apiserver.registry.columns import Column
from apiserver.registry.field_rules import not_negative
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource
from apiserver.registry.workloads import SPEC

PRECEDENCE: Final = 1000
SHARES: Final = 30
_QUEUES, _HAND, _LENGTH = 64, 8, 50
_MOST_QUEUES: Final = 10_000_000


class FlowSchemaKind(Strategy[FlowSchema]):
    counts_generations = True

    def default(self, obj: FlowSchema) -> None:
        if not obj.spec.matching_precedence:
            obj.spec.matching_precedence = PRECEDENCE

    def prepare_for_create(self, obj: FlowSchema) -> None:
        obj.status = FlowSchemaStatus()

    def prepare_for_update(self, obj: FlowSchema, old: FlowSchema) -> None:
        obj.status = old.status

    def validate(self, obj: FlowSchema) -> Iterator[FieldError]:
        spec = obj.spec
        if not 1 <= (spec.matching_precedence or 0) <= 10_000:
            yield (SPEC / "matchingPrecedence").invalid(
                spec.matching_precedence, "must be between 1 and 10000, inclusive"
            )
        if not spec.priority_level_configuration.name:
            yield (SPEC / "priorityLevelConfiguration" / "name").required("must reference a priority level")
        if spec.distinguisher_method is not None:
            path = SPEC / "distinguisherMethod" / "type"
            yield from field_rules.required(path, spec.distinguisher_method.type, ("ByNamespace", "ByUser"))
        for i, rule in enumerate(spec.rules or ()):
            yield from _rule((SPEC / "rules")[i], rule)


def _rule(path: Path, rule: PolicyRulesWithSubjects) -> Iterator[FieldError]:
    if not rule.subjects:
        yield (path / "subjects").required("subjects must contain at least one value")
    for i, subject in enumerate(rule.subjects):
        place = (path / "subjects")[i]
        yield from field_rules.required(place / "kind", subject.kind, ("Group", "ServiceAccount", "User"))
        required = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}.get(subject.kind)
        fields = field_rules.set_fields(subject, "kind")
        if required is not None and required not in fields:
            yield (place / required).required(f"{required} is required when subject kind is '{subject.kind}'")
        for extra in fields:
            if extra != required:
                yield (place / extra).forbidden(f"{extra} is forbidden when subject kind is not {extra}")
    if not rule.resource_rules and not rule.non_resource_rules:
        yield path.required("at least one of resourceRules and nonResourceRules has to be non-empty")
    for i, resource_rule in enumerate(rule.resource_rules or ()):
        place = (path / "resourceRules")[i]
        for field, values in (
            ("verbs", resource_rule.verbs),
            ("apiGroups", resource_rule.api_groups),
            ("resources", resource_rule.resources),
        ):
            if not values:
                yield (place / field).required(f"{field} must contain at least one value")
        if not resource_rule.namespaces and not resource_rule.cluster_scope:
            yield (place / "namespaces").required(
                "resource rules that are not cluster scoped must supply at least one namespace"
            )
    for i, other in enumerate(rule.non_resource_rules or ()):
        place = (path / "nonResourceRules")[i]
        for field, values in (("verbs", other.verbs), ("nonResourceURLs", other.non_resource_urls)):
            if not values:
                yield (place / field).required(f"{field} must contain at least one value")


def _missing(obj: FlowSchema) -> str:
    dangling = next((condition for condition in obj.status.conditions or () if condition.type == "Dangling"), None)
    return dangling.status or "?" if dangling is not None else "?"


_SCHEMA = FlowSchemaKind()

FLOW_SCHEMAS = StoredResource(
    FlowSchema,
    _SCHEMA,
    singular="flowschema",
    columns=(
        columns.name(),
        Column("PriorityLevel", lambda obj: obj.spec.priority_level_configuration.name),
        Column("MatchingPrecedence", lambda obj: str(obj.spec.matching_precedence)),
        Column(
            "DistinguisherMethod",
            lambda obj: obj.spec.distinguisher_method.type if obj.spec.distinguisher_method else "<none>",
        ),
        columns.age(),
        Column("MissingPL", _missing),
    ),
    subresources={"status": ObjectSubresource(StatusStrategy[FlowSchema](_SCHEMA))},
)


class PriorityLevelKind(Strategy[PriorityLevelConfiguration]):
    counts_generations = True

    def default(self, obj: PriorityLevelConfiguration) -> None:
        spec = obj.spec
        if spec.type == "Exempt":
            exempt = spec.exempt = spec.exempt or ExemptPriorityLevelConfiguration()
            exempt.nominal_concurrency_shares = exempt.nominal_concurrency_shares or 0
            exempt.lendable_percent = exempt.lendable_percent or 0
        elif spec.limited is not None:
            _default_limited(spec.limited)

    def prepare_for_create(self, obj: PriorityLevelConfiguration) -> None:
        obj.status = PriorityLevelConfigurationStatus()

    def prepare_for_update(self, obj: PriorityLevelConfiguration, old: PriorityLevelConfiguration) -> None:
        obj.status = old.status

    def validate(self, obj: PriorityLevelConfiguration) -> Iterator[FieldError]:
        spec = obj.spec
        yield from field_rules.required(SPEC / "type", spec.type, ("Exempt", "Limited"))
        if spec.type == "Exempt" and spec.limited is not None:
            yield (SPEC / "limited").forbidden("must be nil if the type is not Limited")
        if spec.type == "Limited":
            if spec.exempt is not None:
                yield (SPEC / "exempt").forbidden("must be nil if the type is Limited")
            if spec.limited is None:
                yield (SPEC / "limited").required("must not be empty when type is Limited")
            else:
                yield from _limited(SPEC / "limited", spec.limited)


def _default_limited(limited: LimitedPriorityLevelConfiguration) -> None:
    if limited.nominal_concurrency_shares is None:
        limited.nominal_concurrency_shares = SHARES
    limited.lendable_percent = limited.lendable_percent or 0
    response = limited.limit_response
    if response is not None and response.queuing is not None:
        queuing = response.queuing
        queuing.queues = queuing.queues or _QUEUES
        queuing.hand_size = queuing.hand_size or _HAND
        queuing.queue_length_limit = queuing.queue_length_limit or _LENGTH


def _limited(path: Path, limited: LimitedPriorityLevelConfiguration) -> Iterator[FieldError]:
    yield from not_negative(path / "nominalConcurrencyShares", limited.nominal_concurrency_shares)
    if not 0 <= (limited.lendable_percent or 0) <= 100:
        yield (path / "lendablePercent").invalid(limited.lendable_percent, "must be between 0 and 100, inclusive")
    yield from not_negative(path / "borrowingLimitPercent", limited.borrowing_limit_percent)
    response = limited.limit_response or LimitResponse()
    path = path / "limitResponse"
    yield from field_rules.required(path / "type", response.type, ("Queue", "Reject"))
    if response.type == "Reject" and response.queuing is not None:
        yield (path / "queuing").forbidden("must be nil if limited.limitResponse.type is not Limited")
    if response.type == "Queue":
        if response.queuing is None:
            yield (path / "queuing").required("must not be empty if limited.limitResponse.type is Limited")
        else:
            yield from _queuing(path / "queuing", response.queuing)


def _queuing(path: Path, queuing: QueuingConfiguration) -> Iterator[FieldError]:
    for field, value in (
        ("queues", queuing.queues), ("queueLengthLimit", queuing.queue_length_limit), ("handSize", queuing.hand_size),
    ):  # fmt: skip
        if (value or 0) <= 0:
            yield (path / field).invalid(value, "must be positive")
    if (queuing.queues or 0) > _MOST_QUEUES:
        yield (path / "queues").invalid(queuing.queues, f"must not be greater than {_MOST_QUEUES}")
    if (queuing.hand_size or 0) > (queuing.queues or 0):
        yield (path / "handSize").invalid(queuing.hand_size, f"should not be greater than queues ({queuing.queues})")


def _shares(obj: PriorityLevelConfiguration) -> str:
    """Of a limited level or of an exempt one."""
    level = obj.spec.limited or obj.spec.exempt
    return "<none>" if level is None else str(level.nominal_concurrency_shares)


def _queue(field: str) -> Callable[[PriorityLevelConfiguration], str]:
    def cell(obj: PriorityLevelConfiguration) -> str:
        response = obj.spec.limited.limit_response if obj.spec.limited else None
        queuing = response.queuing if response else None
        return "<none>" if queuing is None else str(getattr(queuing, field))

    return cell


_LEVEL = PriorityLevelKind()

PRIORITY_LEVEL_CONFIGURATIONS = StoredResource(
    PriorityLevelConfiguration,
    _LEVEL,
    singular="prioritylevelconfiguration",
    columns=(
        columns.name(),
        Column("Type", lambda obj: obj.spec.type),
        Column("NominalConcurrencyShares", _shares),
        Column("Queues", _queue("queues")),
        Column("HandSize", _queue("hand_size")),
        Column("QueueLengthLimit", _queue("queue_length_limit")),
        columns.age(),
    ),
    subresources={"status": ObjectSubresource(StatusStrategy[PriorityLevelConfiguration](_LEVEL))},
)
