"""``spec.resources``: what a pod as a whole asks for, beside what its containers ask for."""

from collections.abc import Iterator
from typing import Final

from apimachinery import quantity
from apimachinery.core import pod_resources
from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1
from apiserver.registry.core.resources_validation import validate_requirements

_SUPPORTED: Final = ("cpu", "memory")
_HUGE_PAGES: Final = "hugepages-"


def validate_pod_level_resources(path: Path, spec: v1.PodSpec) -> Iterator[FieldError]:
    """``path`` is the spec's."""
    resources, place = spec.resources, path / "resources"
    if resources is None:
        return
    if resources.claims:
        yield (place / "claims").forbidden("claims may not be set for Resources at pod-level")
    faults = [
        (place / field).key(name).not_supported(name, (*_SUPPORTED, "hugepages-*"))
        for field, amounts in (("limits", resources.limits), ("requests", resources.requests))
        for name in amounts or {}
        if name not in _SUPPORTED and not name.startswith(_HUGE_PAGES)
    ]
    faults = faults or list(validate_requirements(place, resources))
    yield from faults
    if not faults:
        yield from _against_containers(path, spec, resources)


def _against_containers(path: Path, spec: v1.PodSpec, resources: v1.ResourceRequirements) -> Iterator[FieldError]:
    try:
        used = pod_resources.requests(v1.Pod(spec=spec))
        limits = {name: pod_resources.amount(name, value) for name, value in (resources.limits or {}).items()}
        requests = {name: pod_resources.amount(name, value) for name, value in (resources.requests or {}).items()}
        own = [(container, pod_resources.container_limits(container)) for container in spec.containers]
    except ValueError:  # named elsewhere
        return
    for name, amount in requests.items():
        if used.get(name, 0) > amount:
            total = quantity.canonical(f"{used[name]}m" if name == pod_resources.CPU else used[name])
            yield (
                (path / "resources" / "requests")
                .key(name)
                .invalid(
                    str((resources.requests or {})[name]),
                    f"must be greater than or equal to aggregate container requests of {total}",
                )
            )
    for i, (container, limited) in enumerate(own):
        for name, amount in limited.items():
            if name in limits and amount > limits[name]:
                place = (path / "containers")[i] / "resources" / "limits"
                yield place.key(name).invalid(
                    str((container.resources.limits or {})[name]),
                    f"must be less than or equal to pod limits of {(resources.limits or {})[name]}",
                )
