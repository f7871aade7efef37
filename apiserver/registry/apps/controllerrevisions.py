"""Controller revisions: the past states of stateful sets and daemon sets. Their data never changes."""

from collections.abc import Iterator

from apimachinery import meta
from apimachinery.fields import FieldError, Path
from apimachinery.types.apps_v1 import ControllerRevision
from apiserver.registry import columns, field_rules
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy


class ControllerRevisionKind(Strategy[ControllerRevision]):
    def validate(self, obj: ControllerRevision) -> Iterator[FieldError]:
        yield from field_rules.not_negative(Path("revision"), obj.revision)
        if obj.data is None:
            yield Path("data").required("data is mandatory")

    def validate_update(self, obj: ControllerRevision, old: ControllerRevision) -> Iterator[FieldError]:
        yield from field_rules.immutable(Path(), obj, old, "data")


def _controller(obj: ControllerRevision) -> str:
    """``daemonset.apps/name``, as kubectl names objects."""
    owner = meta.controller_of(obj)
    if owner is None:
        return "<none>"
    group = owner.api_version.rpartition("/")[0]
    kind = owner.kind.lower()
    return f"{kind}.{group}/{owner.name}" if group else f"{kind}/{owner.name}"


CONTROLLER_REVISIONS = StoredResource(
    ControllerRevision,
    ControllerRevisionKind(),
    singular="controllerrevision",
    columns=(
        columns.name(),
        columns.Column("Controller", _controller),
        columns.Column("Revision", lambda obj: str(obj.revision)),
        columns.age(),
    ),
)
