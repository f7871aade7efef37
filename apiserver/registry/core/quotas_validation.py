"""Names of what is limited: compute resources, counted objects, and extended resources."""

from collections.abc import Iterator
from typing import Final

from apimachinery import names
from apimachinery.fields import FieldError, Path

_PREFIXES: Final = ("hugepages-", "requests.hugepages-", "limits.hugepages-", "attachable-volumes-")
STANDARD: Final = (
    "cpu", "memory", "ephemeral-storage", "storage", "requests.cpu", "requests.memory", "requests.storage",
    "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage", "pods",
    "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims",
    "services.nodeports", "services.loadbalancers",
)  # fmt: skip


def resource_name(path: Path, name: str) -> Iterator[FieldError]:
    """A standard resource, or one with a domain (``example.com/gpu``, ``count/jobs.batch``)."""
    faults = list(names.check(path, name, names.qualified_name))
    yield from faults
    if not faults and "/" not in name and name not in STANDARD and not name.startswith(_PREFIXES):
        yield path.invalid(name, "must be a standard resource type or fully qualified")
