"""The mandatory and suggested flow schemas and priority levels.

Facts of k8s.io/apiserver's flowcontrol bootstrap. The spec of an object whose annotation says that it may be updated
is restored at every start; that of the mandatory ones always is.
"""

from typing import Final, TypeVar

from apimachinery import codec
from apimachinery.core.well_known import FLOW_CONTROL_AUTOUPDATE_ANNOTATION
from apimachinery.types import flowcontrol_v1 as fc
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.bootstrap.objects import Objects

MANDATORY: Final = ("exempt", "catch-all")

# name, shares, lendable percent, (queues, hand size, length); no queues: excess requests are rejected
_LEVELS: Final[tuple[tuple[str, int, int, tuple[int, int, int] | None], ...]] = (
    ("catch-all", 5, 0, None),
    ("system", 30, 33, (64, 6, 50)),
    ("node-high", 40, 25, (64, 6, 50)),
    ("leader-election", 10, 0, (16, 4, 50)),
    ("workload-high", 40, 50, (128, 6, 50)),
    ("workload-low", 100, 90, (128, 6, 50)),
    ("global-default", 20, 50, (128, 6, 50)),
)

_GROUPS_OF_ALL: Final = ("system:unauthenticated", "system:authenticated")
_ELECTION_VERBS: Final = ["get", "create", "update"]


def _annotated(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, annotations={FLOW_CONTROL_AUTOUPDATE_ANNOTATION: "true"})


def levels() -> list[fc.PriorityLevelConfiguration]:
    """All priority levels."""
    exempt = fc.PriorityLevelConfigurationSpec(type="Exempt")
    configurations = [fc.PriorityLevelConfiguration(metadata=_annotated("exempt"), spec=exempt)]
    for name, shares, lendable, queues in _LEVELS:
        response = fc.LimitResponse(type="Reject")
        if queues is not None:
            queuing = fc.QueuingConfiguration(queues=queues[0], hand_size=queues[1], queue_length_limit=queues[2])
            response = fc.LimitResponse(type="Queue", queuing=queuing)
        limited = fc.LimitedPriorityLevelConfiguration(
            nominal_concurrency_shares=shares, lendable_percent=lendable, limit_response=response
        )
        spec = fc.PriorityLevelConfigurationSpec(type="Limited", limited=limited)
        configurations.append(fc.PriorityLevelConfiguration(metadata=_annotated(name), spec=spec))
    return configurations


def _groups(*names: str) -> list[fc.Subject]:
    return [fc.Subject(kind="Group", group=fc.GroupSubject(name=name)) for name in names]


def _users(*names: str) -> list[fc.Subject]:
    return [fc.Subject(kind="User", user=fc.UserSubject(name=name)) for name in names]


def _account(name: str) -> list[fc.Subject]:
    account = fc.ServiceAccountSubject(namespace="kube-system", name=name)
    return [fc.Subject(kind="ServiceAccount", service_account=account)]


def _resources(
    verbs: list[str], group: str, resources: list[str], namespace: str, *, cluster: bool = False
) -> fc.ResourcePolicyRule:
    return fc.ResourcePolicyRule(
        verbs=verbs, api_groups=[group], resources=resources, namespaces=[namespace], cluster_scope=cluster or None
    )


def _everything(subjects: list[fc.Subject]) -> fc.PolicyRulesWithSubjects:
    return fc.PolicyRulesWithSubjects(
        subjects=subjects,
        resource_rules=[_resources(["*"], "*", ["*"], "*", cluster=True)],
        non_resource_rules=[fc.NonResourcePolicyRule(verbs=["*"], non_resource_urls=["*"])],
    )


def _election(subjects: list[fc.Subject], namespace: str) -> fc.PolicyRulesWithSubjects:
    return fc.PolicyRulesWithSubjects(
        subjects=subjects,
        resource_rules=[
            _resources(_ELECTION_VERBS, "", ["endpoints", "configmaps"], namespace),
            _resources(_ELECTION_VERBS, "coordination.k8s.io", ["leases"], "*"),
        ],
    )


def _schema(name: str, level: str, precedence: int, by: str, rule: fc.PolicyRulesWithSubjects) -> fc.FlowSchema:
    return fc.FlowSchema(
        metadata=_annotated(name),
        spec=fc.FlowSchemaSpec(
            priority_level_configuration=fc.PriorityLevelConfigurationReference(name=level),
            matching_precedence=precedence,
            distinguisher_method=fc.FlowDistinguisherMethod(type=by) if by else None,
            rules=[rule],
        ),
    )


def schemas() -> list[fc.FlowSchema]:
    """All flow schemas, in the order in which they are asked."""
    manager, scheduler = "system:kube-controller-manager", "system:kube-scheduler"
    probes = fc.PolicyRulesWithSubjects(
        subjects=_groups(*_GROUPS_OF_ALL),
        non_resource_rules=[
            fc.NonResourcePolicyRule(verbs=["get"], non_resource_urls=["/healthz", "/readyz", "/livez"])
        ],
    )
    nodes = fc.PolicyRulesWithSubjects(
        subjects=_groups("system:nodes"),
        resource_rules=[
            _resources(["*"], "", ["nodes", "nodes/status"], "*", cluster=True),
            _resources(["*"], "coordination.k8s.io", ["leases"], "*"),
        ],
    )
    endpoints = fc.PolicyRulesWithSubjects(
        subjects=[*_users(manager), *_account("endpoint-controller"), *_account("endpointslicemirroring-controller")],
        resource_rules=[
            _resources(["get", "create", "update"], "", ["endpoints"], "*"),
        ],
    )
    elected = [*_users(manager, scheduler), *_account("*")]
    return [
        _schema("exempt", "exempt", 1, "", _everything(_groups("system:masters"))),
        _schema("probes", "exempt", 2, "", probes),
        _schema("system-leader-election", "leader-election", 100, "ByUser", _election(elected, "kube-system")),
        _schema("endpoint-controller", "workload-high", 150, "ByUser", endpoints),
        _schema("workload-leader-election", "leader-election", 200, "ByUser", _election(_account("*"), "*")),
        _schema("system-node-high", "node-high", 400, "ByUser", nodes),
        _schema("system-nodes", "system", 500, "ByUser", _everything(_groups("system:nodes"))),
        _schema("kube-controller-manager", "workload-high", 800, "ByNamespace", _everything(_users(manager))),
        _schema("kube-scheduler", "workload-high", 800, "ByNamespace", _everything(_users(scheduler))),
        _schema("kube-system-service-accounts", "workload-high", 900, "ByNamespace", _everything(_account("*"))),
        _schema("service-accounts", "workload-low", 9000, "ByUser", _everything(_groups("system:serviceaccounts"))),
        _schema("global-default", "global-default", 9900, "ByUser", _everything(_groups(*_GROUPS_OF_ALL))),
        _schema("catch-all", "catch-all", 10_000, "ByUser", _everything(_groups(*_GROUPS_OF_ALL))),
    ]


Default = TypeVar("Default", fc.FlowSchema, fc.PriorityLevelConfiguration)


def merged(existing: Default, default: Default) -> Default | None:
    """The existing object with the default spec; None if it may stay as it is."""
    may_change = (existing.metadata.annotations or {}).get(FLOW_CONTROL_AUTOUPDATE_ANNOTATION) == "true"
    if existing.metadata.name not in MANDATORY and not may_change:
        return None
    if codec.to_builtins(existing.spec) == codec.to_builtins(default.spec):
        return None
    changed = codec.copy(existing)
    changed.spec = codec.copy(default.spec)
    return changed


async def make(objects: Objects) -> None:
    """Raises ApiError, and is safe to repeat."""
    for level in levels():  # with their defaults, so that they can be compared with what is stored
        objects.resources.store(fc.PriorityLevelConfiguration).info.strategy.default(level)
        await objects.reconcile(level, merged)
    for schema in schemas():
        objects.resources.store(fc.FlowSchema).info.strategy.default(schema)
        await objects.reconcile(schema, merged)
