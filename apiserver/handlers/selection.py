"""``labelSelector`` and ``fieldSelector``: what of a resource a request is about."""

from collections.abc import Callable, Mapping
from typing import Final

from apimachinery import errors, meta, selectors
from apimachinery.types.objects import KubeObject
from apiserver.handlers.http import Request
from apiserver.registry.resource import ResourceInfo
from apiserver.registry.selection import Selection

_GENERIC: Final[Mapping[str, Callable[[KubeObject], str]]] = {
    "metadata.name": meta.name_of,
    "metadata.namespace": meta.namespace_of,
}


def selection(request: Request, info: ResourceInfo[KubeObject]) -> Selection:
    """Raises BadRequest if the selectors cannot be understood."""
    try:
        labels = selectors.parse_labels(request.query.get("labelSelector", ""))
        fields = selectors.parse_fields(request.query.get("fieldSelector", ""))
    except ValueError as fault:
        raise errors.BadRequest(str(fault)) from fault
    values = {**_GENERIC, **info.fields}
    for requirement in fields.requirements:
        if requirement.field not in values:
            raise errors.BadRequest(
                f'field label not supported: "{requirement.field}"; {info.resource.plural} can be selected by '
                f"{', '.join(sorted(values))}"
            )
    return Selection(labels, fields, values)
