"""Pod disruption budgets: how many pods of a kind may be missing on purpose."""

from collections.abc import Iterator
from typing import Final

from apimachinery import codec
from apimachinery.fields import FieldError, Path
from apimachinery.types.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetStatus
from apiserver.registry import columns, field_rules, workloads
from apiserver.registry.columns import Column
from apiserver.registry.field_rules import at_most_all, number_or_percent
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy

_SPEC: Final = Path("spec")
_POLICIES: Final = ("AlwaysAllow", "IfHealthyBudget")


class PodDisruptionBudgetKind(Strategy[PodDisruptionBudget]):
    counts_generations = True

    def default(self, obj: PodDisruptionBudget) -> None:
        """The counts are always written."""
        status = obj.status
        for field in ("current_healthy", "desired_healthy", "disruptions_allowed", "expected_pods"):
            if getattr(status, field) is None:
                setattr(status, field, 0)

    def prepare_for_create(self, obj: PodDisruptionBudget) -> None:
        obj.status = PodDisruptionBudgetStatus()
        self.default(obj)

    def prepare_for_update(self, obj: PodDisruptionBudget, old: PodDisruptionBudget) -> None:
        obj.status = old.status

    def validate(self, obj: PodDisruptionBudget) -> Iterator[FieldError]:
        spec = obj.spec
        if spec.min_available is not None and spec.max_unavailable is not None:
            yield _SPEC.invalid(codec.to_builtins(spec), "minAvailable and maxUnavailable cannot be both set")
        for field, value in (("minAvailable", spec.min_available), ("maxUnavailable", spec.max_unavailable)):
            if value is not None:
                yield from number_or_percent(_SPEC / field, value)
                yield from at_most_all(_SPEC / field, value)
        yield from field_rules.validate_selector(_SPEC / "selector", spec.selector)
        policy = spec.unhealthy_pod_eviction_policy
        yield from field_rules.one_of(_SPEC / "unhealthyPodEvictionPolicy", policy, _POLICIES)


def _amount(value: int | str | None) -> str:
    return "N/A" if value is None else str(value)


_KIND = PodDisruptionBudgetKind()

POD_DISRUPTION_BUDGETS = StoredResource(
    PodDisruptionBudget,
    _KIND,
    singular="poddisruptionbudget",
    short_names=("pdb",),
    columns=(
        columns.name(),
        Column("Min Available", lambda obj: _amount(obj.spec.min_available)),
        Column("Max Unavailable", lambda obj: _amount(obj.spec.max_unavailable)),
        workloads.count("Allowed Disruptions", lambda obj: obj.status.disruptions_allowed),
        columns.age(),
    ),
    subresources={"status": workloads.status_subresource(_KIND)},
)
