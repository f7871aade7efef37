"""Resource quotas: how much all objects of a namespace may take together."""

from collections.abc import Iterator
from typing import Final

from apimachinery.fields import FieldError, Path
from apimachinery.types.base import Quantity
from apimachinery.types.core_v1 import ResourceQuota, ResourceQuotaSpec, ResourceQuotaStatus
from apiserver.registry import columns, field_rules
from apiserver.registry.columns import Column
from apiserver.registry.core.quotas_validation import STANDARD, resource_name
from apiserver.registry.core.resources_validation import canonical, validate_quantity
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource

SCOPES: Final = (
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
)  # fmt: skip
_OPPOSITES: Final = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_OPERATORS: Final = ("DoesNotExist", "Exists", "In", "NotIn")
_COMPUTE: Final = ("cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory")
_EXISTS_ONLY: Final = (
    "must be 'Exist' only operator when scope is any of ResourceQuotaScopeTerminating, "
    "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
    "ResourceQuotaScopeCrossNamespacePodAffinity"
)
_SPEC: Final = Path("spec")


class ResourceQuotaKind(Strategy[ResourceQuota]):
    def default(self, obj: ResourceQuota) -> None:
        for amounts in (obj.spec.hard, obj.status.hard, obj.status.used):
            canonical(amounts)

    def prepare_for_create(self, obj: ResourceQuota) -> None:
        obj.status = ResourceQuotaStatus()

    def prepare_for_update(self, obj: ResourceQuota, old: ResourceQuota) -> None:
        obj.status = old.status

    def validate(self, obj: ResourceQuota) -> Iterator[FieldError]:
        yield from _amounts(_SPEC / "hard", obj.spec.hard)
        yield from _scopes(obj.spec)

    def validate_update(self, obj: ResourceQuota, old: ResourceQuota) -> Iterator[FieldError]:
        if set(obj.spec.scopes or ()) != set(old.spec.scopes or ()):
            yield (_SPEC / "scopes").invalid(obj.spec.scopes or [], "field is immutable")


class QuotaStatus(StatusStrategy[ResourceQuota]):
    def validate_update(self, obj: ResourceQuota, old: ResourceQuota) -> Iterator[FieldError]:
        yield from super().validate_update(obj, old)
        yield from _amounts(Path("status", "hard"), obj.status.hard)
        yield from _amounts(Path("status", "used"), obj.status.used)


def _amounts(path: Path, amounts: dict[str, Quantity] | None) -> Iterator[FieldError]:
    for name, amount in (amounts or {}).items():
        yield from resource_name(path.key(name), name)
        yield from validate_quantity(path.key(name), amount)


def _scopes(spec: ResourceQuotaSpec) -> Iterator[FieldError]:
    for i, scope in enumerate(spec.scopes or ()):
        if scope not in SCOPES:
            yield (_SPEC / "scopes")[i].invalid(scope, "unsupported scope")
        elif not all(_may_limit(scope, name) for name in spec.hard or ()):
            yield (_SPEC / "scopes").invalid(spec.scopes, "unsupported scope applied to resource")
    for scope, opposite in _OPPOSITES:
        if {scope, opposite} <= set(spec.scopes or ()):
            yield (_SPEC / "scopes").invalid(spec.scopes, "conflicting scopes")
    path = _SPEC / "scopeSelector" / "matchExpressions"
    for i, term in enumerate((spec.scope_selector.match_expressions if spec.scope_selector else None) or ()):
        if term.scope_name not in SCOPES:
            yield (path[i] / "scopeName").invalid(term.scope_name, "unsupported scope")
        elif not all(_may_limit(term.scope_name, name) for name in spec.hard or ()):
            yield path.invalid(term.scope_name, "unsupported scope applied to resource")
        if term.scope_name != "PriorityClass" and term.operator in ("DoesNotExist", "In", "NotIn"):
            yield (path[i] / "operator").invalid(term.operator, _EXISTS_ONLY)
        yield from field_rules.required(path[i] / "operator", term.operator, _OPERATORS)
        if (term.operator in ("In", "NotIn")) and not term.values:
            yield (path[i] / "values").required(
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            )
        elif term.operator in ("Exists", "DoesNotExist") and term.values:
            yield (path[i] / "values").invalid(
                term.values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            )


def _may_limit(scope: str, name: str) -> bool:
    """Whether a quota of the scope, which selects pods, may limit the resource; others than the standard ones may be pods'."""
    return name not in STANDARD or name == "pods" or (name in _COMPUTE and scope != "BestEffort")


def _used(quota: ResourceQuota, *, limits: bool) -> str:
    """``cpu: 1/2, pods: 3/10``: usage and limit."""
    hard, used = quota.status.hard or {}, quota.status.used or {}
    names = sorted(name for name in hard if name.startswith("limits.") == limits)
    return ", ".join(f"{name}: {used.get(name, 0)}/{hard[name]}" for name in names)


_KIND = ResourceQuotaKind()

RESOURCE_QUOTAS = StoredResource(
    ResourceQuota,
    _KIND,
    singular="resourcequota",
    short_names=("quota",),
    columns=(
        columns.name(),
        Column("Request", lambda obj: _used(obj, limits=False)),
        Column("Limit", lambda obj: _used(obj, limits=True)),
        columns.age(),
    ),
    subresources={"status": ObjectSubresource(QuotaStatus(_KIND))},
)
