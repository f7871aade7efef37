"""Priority classes: which pods come before others."""

from collections.abc import Iterator
from typing import Final

from apimachinery.core.pods import SYSTEM_CRITICAL_PRIORITY
from apimachinery.fields import FieldError, Path
from apimachinery.types.scheduling_v1 import PriorityClass
from apiserver.registry import columns, field_rules
from apiserver.registry.columns import Column
from apiserver.registry.core.placement_warnings import NO_PREEMPTION, PREEMPTS
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy

HIGHEST: Final = 1_000_000_000  # of those that users may define
SYSTEM_PRIORITIES: Final = {
    "system-cluster-critical": SYSTEM_CRITICAL_PRIORITY,
    "system-node-critical": SYSTEM_CRITICAL_PRIORITY + 1000,
}
_POLICIES: Final = ("Never", PREEMPTS)


class PriorityClassKind(Strategy[PriorityClass]):
    def default(self, obj: PriorityClass) -> None:
        obj.preemption_policy = obj.preemption_policy or PREEMPTS
        if obj.value is None:
            obj.value = 0

    def prepare_for_create(self, obj: PriorityClass) -> None:
        obj.metadata.generation = 1

    def warnings(self, obj: PriorityClass) -> Iterator[str]:
        if obj.preemption_policy == PREEMPTS:
            yield f"preemptionPolicy: {NO_PREEMPTION}"

    def validate(self, obj: PriorityClass) -> Iterator[FieldError]:
        name, value = obj.metadata.name or "", obj.value or 0
        if name.startswith("system-"):
            if SYSTEM_PRIORITIES.get(name) != value:
                yield Path("metadata", "name").forbidden(
                    "priority class names with 'system-' prefix are reserved for system use only. error: "
                    f"{name} is not a known system priority class"
                )
        elif value > HIGHEST:
            yield Path("value").forbidden(f"maximum allowed value of a user defined priority is {HIGHEST}")
        yield from field_rules.one_of(Path("preemptionPolicy"), obj.preemption_policy, _POLICIES)

    def validate_update(self, obj: PriorityClass, old: PriorityClass) -> Iterator[FieldError]:
        if obj.value != old.value:
            yield Path("value").forbidden("may not be changed in an update.")
        yield from field_rules.immutable(Path(), obj, old, "preemption_policy")


PRIORITY_CLASSES = StoredResource(
    PriorityClass,
    PriorityClassKind(),
    singular="priorityclass",
    short_names=("pc",),
    columns=(
        columns.name(),
        Column("Value", lambda obj: obj.value or 0, type="integer"),
        Column("Global-Default", lambda obj: bool(obj.global_default), type="boolean"),
        columns.age(),
        Column("PreemptionPolicy", lambda obj: obj.preemption_policy or ""),
    ),
)
