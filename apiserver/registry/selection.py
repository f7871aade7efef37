"""Which objects of a resource a list, a watch or a collection delete is about."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from apimachinery.selectors import FieldSelector, LabelSelector
from apimachinery.types.objects import KubeObject


@dataclass(frozen=True, slots=True)
class Selection:
    """A label selector and a field selector; both must hold."""

    labels: LabelSelector
    fields: FieldSelector
    values: Mapping[str, Callable[[KubeObject], str]]
    """How the value of a field is read from an object."""

    @property
    def everything(self) -> bool:
        return not self.labels.requirements and not self.fields.requirements

    def matches(self, obj: KubeObject) -> bool:
        if self.fields.requirements and not self.fields.matches_by(lambda field: self.values[field](obj)):
            return False
        return not self.labels.requirements or self.labels.matches(obj.metadata.labels or {})

    def is_only(self, field: str) -> bool:
        """Whether one value of one field is all that is asked for."""
        return not self.labels.requirements and len(self.fields.requirements) == 1 and self.exact(field) is not None

    def exact(self, field: str) -> str | None:
        return self.fields.exact(field)
