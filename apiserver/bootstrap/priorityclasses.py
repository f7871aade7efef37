"""The two priority classes of the system's own pods."""

from typing import Final

from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.scheduling_v1 import PriorityClass
from apiserver.bootstrap.objects import Objects

CLASSES: Final = (
    (
        "system-node-critical", 2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical", 2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
)  # fmt: skip


async def make(objects: Objects) -> None:
    """Raises ApiError, and is safe to repeat."""
    for name, value, description in CLASSES:
        await objects.ensure(PriorityClass(metadata=ObjectMeta(name=name), value=value, description=description))
