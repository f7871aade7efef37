"""Which objects of a resource a list, a watch or a collection delete is about."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from apimachinery import errors, meta, selectors
from apimachinery.selectors import FieldSelector, LabelSelector
from apiserver.handlers.http import Request
from apiserver.registry.resource import ResourceInfo

_GENERIC: Final[Mapping[str, Callable[[Any], str]]] = {
    "metadata.name": meta.name_of,
    "metadata.namespace": meta.namespace_of,
}


@dataclass(frozen=True, slots=True)
class Selection:
    """A label selector and a field selector; both must hold."""

    labels: LabelSelector
    fields: FieldSelector
    lookups: Mapping[str, Callable[[Any], str]]

    @property
    def everything(self) -> bool:
        return not self.labels.requirements and not self.fields.requirements

    def matches(self, obj: Any) -> bool:
        if self.fields.requirements and not self.fields.matches_by(lambda field: self.lookups[field](obj)):
            return False
        return not self.labels.requirements or self.labels.matches(obj.metadata.labels or {})

    def is_only(self, field: str) -> bool:
        """Whether one value of one field is all that is asked for."""
        return not self.labels.requirements and len(self.fields.requirements) == 1 and self.exact(field) is not None

    def exact(self, field: str) -> str | None:
        return self.fields.exact(field)


def selection(request: Request, info: ResourceInfo[Any]) -> Selection:
    """What ``labelSelector`` and ``fieldSelector`` say. Raises BadRequest if they cannot be understood."""
    try:
        labels = selectors.parse_labels(request.query.get("labelSelector", ""))
        fields = selectors.parse_fields(request.query.get("fieldSelector", ""))
    except ValueError as fault:
        raise errors.BadRequest(str(fault)) from fault
    lookups = {**_GENERIC, **info.fields}
    for one in fields.requirements:
        if one.field not in lookups:
            raise errors.BadRequest(
                f'field label not supported: "{one.field}"; {info.resource.plural} can be selected by '
                f"{', '.join(sorted(lookups))}"
            )
    return Selection(labels, fields, lookups)
