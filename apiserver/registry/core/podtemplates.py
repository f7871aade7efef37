"""Pod templates, stored as objects of their own."""

from collections.abc import Iterator

from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import PodTemplate
from apiserver.registry import columns
from apiserver.registry.columns import Column, labels_text
from apiserver.registry.core.pod_defaults import default_spec
from apiserver.registry.core.pod_warnings import maker_warnings
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy
from apiserver.registry.workloads import validate_template


class PodTemplateKind(Strategy[PodTemplate]):
    counts_generations = True

    def default(self, obj: PodTemplate) -> None:
        default_spec(obj.template.spec)

    def desired_state(self, obj: PodTemplate) -> object:
        return obj.template

    def warnings(self, obj: PodTemplate) -> Iterator[str]:
        return maker_warnings(obj.metadata.name, Path("template"), obj.template)

    def validate(self, obj: PodTemplate) -> Iterator[FieldError]:
        yield from validate_template(Path("template"), obj.template)


POD_TEMPLATES = StoredResource(
    PodTemplate,
    PodTemplateKind(),
    singular="podtemplate",
    columns=(
        columns.name(),
        Column("Containers", lambda obj: ",".join(container.name for container in obj.template.spec.containers)),
        Column("Images", lambda obj: ",".join(container.image or "" for container in obj.template.spec.containers)),
        Column("Pod Labels", lambda obj: labels_text(obj.template.metadata.labels)),
    ),
)
