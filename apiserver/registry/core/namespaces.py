"""Namespaces: they are removed once the namespace controller has emptied them and removed its finalizer."""

from collections.abc import Iterator

from apimachinery.core.well_known import NAMESPACE_NAME_LABEL
from apimachinery.fields import FieldError, Path
from apimachinery.names import dns_label
from apimachinery.types.core_v1 import Namespace, NamespaceStatus
from apiserver.registry import columns
from apiserver.registry.metadata import finalizer
from apiserver.registry.status_rules import STATUS
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource

FINALIZER = "kubernetes"
CRUD = ("create", "delete", "get", "list", "patch", "update", "watch")


class NamespaceStrategy(Strategy[Namespace]):
    name_rule = staticmethod(dns_label)

    def default(self, obj: Namespace) -> None:
        if obj.metadata.name:
            obj.metadata.labels = {**(obj.metadata.labels or {}), NAMESPACE_NAME_LABEL: obj.metadata.name}

    def prepare_for_create(self, obj: Namespace) -> None:
        obj.status = NamespaceStatus(phase="Active")
        finalizers = obj.spec.finalizers or []
        obj.spec.finalizers = finalizers if FINALIZER in finalizers else [*finalizers, FINALIZER]

    def prepare_for_update(self, obj: Namespace, old: Namespace) -> None:
        obj.spec.finalizers = old.spec.finalizers
        obj.status = old.status

    def validate(self, obj: Namespace) -> Iterator[FieldError]:
        for i, name in enumerate(obj.spec.finalizers or ()):
            yield from finalizer(Path("spec", "finalizers")[i], name)

    def awaits(self, obj: Namespace) -> bool:
        return bool(obj.spec.finalizers)

    def mark_deleted(self, obj: Namespace) -> None:
        obj.status.phase = "Terminating"


class FinalizeStrategy(NamespaceStrategy):
    """``/finalize``: only the finalizers may change."""

    def prepare_for_update(self, obj: Namespace, old: Namespace) -> None:
        obj.status = old.status

    def validate_update(self, obj: Namespace, old: Namespace) -> Iterator[FieldError]:
        yield from ()


class NamespaceStatusStrategy(StatusStrategy[Namespace]):
    def validate_update(self, obj: Namespace, old: Namespace) -> Iterator[FieldError]:
        yield from super().validate_update(obj, old)
        expected, whether = ("Terminating", "not ") if obj.metadata.deletion_timestamp else ("Active", "")
        if obj.status.phase != expected:
            yield (STATUS / "phase").invalid(
                obj.status.phase or "", f"may only be '{expected}' if `deletionTimestamp` is {whether}empty"
            )


NAMESPACES = StoredResource(
    Namespace,
    NamespaceStrategy(),
    singular="namespace",
    short_names=("ns",),
    columns=(columns.name(), columns.Column("Status", lambda obj: obj.status.phase), columns.age()),
    fields={"status.phase": lambda obj: obj.status.phase or "", "name": lambda obj: obj.metadata.name or ""},
    subresources={
        "status": ObjectSubresource(NamespaceStatusStrategy(NamespaceStrategy())),
        "finalize": ObjectSubresource(FinalizeStrategy(), ("update",)),
    },
    verbs=CRUD,
)
