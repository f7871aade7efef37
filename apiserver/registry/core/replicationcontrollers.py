"""Replication controllers: so many pods of one template, whatever happens to them."""

from collections.abc import Iterator
from typing import Final

from apimachinery import names, selectors
from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import Container, ReplicationController, ReplicationControllerStatus
from apiserver.registry import columns
from apiserver.registry.core.pod_defaults import default_spec
from apiserver.registry.core.pod_validation import validate_spec
from apiserver.registry.core.pod_warnings import maker_warnings
from apiserver.registry.field_rules import not_negative
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource
from apiserver.registry.workloads import scale_subresource

_SPEC: Final = Path("spec")


class ReplicationControllerStrategy(Strategy[ReplicationController]):
    counts_generations = True

    def default(self, obj: ReplicationController) -> None:
        """Selector and labels left out are those of the template."""
        spec = obj.spec
        if spec.replicas is None:
            spec.replicas = 1
        if spec.template is None:
            return
        default_spec(spec.template.spec)
        labels = spec.template.metadata.labels
        if labels:
            spec.selector = spec.selector or dict(labels)
            obj.metadata.labels = obj.metadata.labels or dict(labels)

    def prepare_for_create(self, obj: ReplicationController) -> None:
        obj.status = ReplicationControllerStatus()

    def prepare_for_update(self, obj: ReplicationController, old: ReplicationController) -> None:
        obj.status = old.status

    def warnings(self, obj: ReplicationController) -> Iterator[str]:
        return maker_warnings(obj.metadata.name, _SPEC / "template", obj.spec.template)

    def validate(self, obj: ReplicationController) -> Iterator[FieldError]:
        spec, template = obj.spec, _SPEC / "template"
        yield from not_negative(_SPEC / "replicas", spec.replicas)
        yield from not_negative(_SPEC / "minReadySeconds", spec.min_ready_seconds)
        if not spec.selector:
            yield (_SPEC / "selector").required()
        if spec.template is None:
            yield template.required()
            return
        labels = spec.template.metadata.labels or {}
        if spec.selector and not selectors.from_map(spec.selector).matches(labels):
            yield (template / "metadata" / "labels").invalid(labels, "`selector` does not match template `labels`")
        yield from names.validate_labels(template / "metadata" / "labels", labels)
        yield from names.validate_annotations(template / "metadata" / "annotations", spec.template.metadata.annotations)
        yield from validate_spec(template / "spec", spec.template.spec)
        policy = spec.template.spec.restart_policy
        if policy != "Always":
            yield (template / "spec" / "restartPolicy").not_supported(policy, ("Always",))
        if spec.template.spec.active_deadline_seconds is not None:
            yield (template / "spec" / "activeDeadlineSeconds").forbidden(
                "activeDeadlineSeconds in ReplicationController is not Supported"
            )


_STRATEGY: Final = ReplicationControllerStrategy()

REPLICATION_CONTROLLERS = StoredResource(
    ReplicationController,
    _STRATEGY,
    singular="replicationcontroller",
    short_names=("rc",),
    categories=("all",),
    columns=(
        columns.name(),
        columns.Column("Desired", lambda rc: rc.spec.replicas or 0, type="integer"),
        columns.Column("Current", lambda rc: rc.status.replicas, type="integer"),
        columns.Column("Ready", lambda rc: rc.status.ready_replicas or 0, type="integer"),
        columns.age(),
        columns.wide("Containers", lambda rc: columns.joined(container.name for container in _containers(rc))),
        columns.wide("Images", lambda rc: columns.joined(container.image or "" for container in _containers(rc))),
        columns.wide("Selector", lambda rc: columns.labels_text(rc.spec.selector)),
    ),
    fields={"status.replicas": lambda rc: str(rc.status.replicas)},
    subresources={
        "status": ObjectSubresource(StatusStrategy(_STRATEGY)),
        "scale": scale_subresource(_STRATEGY, lambda rc: str(selectors.from_map(rc.spec.selector))),
    },
)


def _containers(controller: ReplicationController) -> list[Container]:
    return controller.spec.template.spec.containers if controller.spec.template else []
