"""Runtime classes: which of a node's runtimes a pod is run by."""

from collections.abc import Iterator

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.types.node_v1 import RuntimeClass
from apiserver.registry import columns, field_rules
from apiserver.registry.columns import Column
from apiserver.registry.core.resources_validation import canonical, validate_amounts
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy


class RuntimeClassKind(Strategy[RuntimeClass]):
    allow_create_on_update = True
    allow_unconditional_update = False

    def default(self, obj: RuntimeClass) -> None:
        if obj.overhead is not None:
            canonical(obj.overhead.pod_fixed)

    def validate(self, obj: RuntimeClass) -> Iterator[FieldError]:
        yield from names.check(Path("handler"), obj.handler, names.dns_label)
        if obj.overhead is not None:
            yield from validate_amounts(Path("overhead", "podFixed"), obj.overhead.pod_fixed)
        if obj.scheduling is not None:
            yield from names.validate_labels(Path("scheduling", "nodeSelector"), obj.scheduling.node_selector)

    def validate_update(self, obj: RuntimeClass, old: RuntimeClass) -> Iterator[FieldError]:
        yield from field_rules.immutable(Path(), obj, old, "handler")


RUNTIME_CLASSES = StoredResource(
    RuntimeClass,
    RuntimeClassKind(),
    singular="runtimeclass",
    columns=(columns.name(), Column("Handler", lambda obj: obj.handler), columns.age()),
)
