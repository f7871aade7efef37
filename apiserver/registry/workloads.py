"""What the kinds that make pods from a template share: the template's rules, their columns, their Scale."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.types.apps_v1 import DaemonSet, Deployment, ReplicaSet, StatefulSet
from apimachinery.types.autoscaling_v1 import Scale, ScaleSpec, ScaleStatus
from apimachinery.types.batch_v1 import Job
from apimachinery.types.core_v1 import Container, PodTemplateSpec, ReplicationController
from apimachinery.types.meta_v1 import LabelSelector, ObjectMeta
from apimachinery.types.objects import KubeObject
from apiserver.registry import field_rules
from apiserver.registry.columns import Column, wide
from apiserver.registry.core.pod_validation import validate_spec
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource, ViewSubresource

T = TypeVar("T", bound=KubeObject)

SPEC: Final = Path("spec")
TEMPLATE: Final = SPEC / "template"
HISTORY_LIMIT: Final = 10


def validate_template(path: Path, template: PodTemplateSpec) -> Iterator[FieldError]:
    """The pod that a template describes: labels, annotations and spec."""
    yield from names.validate_labels(path / "metadata" / "labels", template.metadata.labels)
    yield from names.validate_annotations(path / "metadata" / "annotations", template.metadata.annotations)
    yield from validate_spec(path / "spec", template.spec)


def validate_lasting(kind: str, template: PodTemplateSpec, *, deadline: bool = False) -> Iterator[FieldError]:
    """A template of pods that run until they are deleted."""
    yield from validate_template(TEMPLATE, template)
    if template.spec.restart_policy != "Always":
        yield (TEMPLATE / "spec" / "restartPolicy").not_supported(template.spec.restart_policy, ("Always",))
    if not deadline and template.spec.active_deadline_seconds is not None:
        yield (TEMPLATE / "spec" / "activeDeadlineSeconds").forbidden(
            f"activeDeadlineSeconds in {kind} is not Supported"
        )


def validate_selection(selector: LabelSelector, template: PodTemplateSpec) -> Iterator[FieldError]:
    """The selector is there, is well formed, and matches the pods that the template makes."""
    path = SPEC / "selector"
    if field_rules.is_empty(selector):
        yield path.required()
        selector_matches = False
    else:
        yield from field_rules.validate_selector(path, selector)
        selector_matches = field_rules.selects(selector, template.metadata.labels)
    if not selector_matches:
        labels = template.metadata.labels or {}
        yield (TEMPLATE / "metadata" / "labels").invalid(labels, "`selector` does not match template `labels`")


def pod_template(obj: DaemonSet | Deployment | Job | ReplicaSet | StatefulSet) -> PodTemplateSpec:
    return obj.spec.template


def container_columns(template: Callable[[T], PodTemplateSpec]) -> tuple[Column[T], Column[T]]:
    """The names and images of a template's containers."""

    def containers(obj: T) -> list[Container]:
        return template(obj).spec.containers

    return (
        wide("Containers", lambda obj: ",".join(container.name for container in containers(obj))),
        wide("Images", lambda obj: ",".join(container.image or "" for container in containers(obj))),
    )


def selector_column(selector: Callable[[T], LabelSelector | None]) -> Column[T]:
    return wide("Selector", lambda obj: field_rules.selector_cell(selector(obj)))


def count(name: str, cell: Callable[[T], int | None]) -> Column[T]:
    """A column of a number that is 0 when it is not there."""
    return Column(name, lambda obj: cell(obj) or 0, type="integer")


def status_subresource(strategy: Strategy[T]) -> ObjectSubresource[T]:
    return ObjectSubresource(StatusStrategy(strategy))


# the kinds that can be scaled: spec.replicas, status.replicas
Scalable = TypeVar("Scalable", Deployment, ReplicaSet, ReplicationController, StatefulSet)


def scale_subresource(
    strategy: Strategy[Scalable], selector_text: Callable[[Scalable], str]
) -> ViewSubresource[Scalable, Scale]:
    """``/scale``; ``selector_text`` is the selector of the object's pods."""

    def read(obj: Scalable) -> Scale:
        metadata = obj.metadata
        return Scale(
            metadata=ObjectMeta(
                name=metadata.name,
                namespace=metadata.namespace,
                uid=metadata.uid,
                resource_version=metadata.resource_version,
                creation_timestamp=metadata.creation_timestamp,
            ),
            spec=ScaleSpec(replicas=obj.spec.replicas),
            status=ScaleStatus(replicas=obj.status.replicas or 0, selector=selector_text(obj)),
        )

    def write(obj: Scalable, scale: Scale) -> None:
        obj.spec.replicas = scale.spec.replicas or 0

    return ViewSubresource(Scale, strategy, read, write)


def column_set(*groups: Column[T] | Sequence[Column[T]]) -> tuple[Column[T], ...]:
    """Columns and groups of columns, flat."""
    columns: list[Column[T]] = []
    for group in groups:
        columns += [group] if isinstance(group, Column) else group
    return tuple(columns)
