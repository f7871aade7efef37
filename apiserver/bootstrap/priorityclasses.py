"""The two priority classes of the system's own pods."""

from typing import Final

from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.scheduling_v1 import PriorityClass
from apiserver.bootstrap.objects import Objects
from apiserver.registry.scheduling.priorityclasses import SYSTEM_PRIORITIES

CLASSES: Final = (
    ("system-node-critical", "Used for system critical pods that must not be moved from their current node."),
    (
        "system-cluster-critical",
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
)


async def make(objects: Objects) -> None:
    """Raises ApiError, and is safe to repeat."""
    for name, description in CLASSES:
        await objects.ensure(
            PriorityClass(metadata=ObjectMeta(name=name), value=SYSTEM_PRIORITIES[name], description=description)
        )
