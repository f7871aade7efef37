"""Dead containers that are removed when the disk is full: they pin images, and their logs and layers take space.

Otherwise pod workers keep what ``logs --previous`` needs (``plan.KEEP_DEAD``), and everything of a finished pod until it
is deleted. Under disk pressure only the last container of each name of an unfinished pod is kept.
"""

import logging
from collections.abc import Collection, Iterable

from kubelet.runtime import ContainerRecord, Runtime
from kubelet.runtime.records import latest_records

log = logging.getLogger(__name__)


def expendable(records: Iterable[ContainerRecord], living: Collection[str]) -> list[ContainerRecord]:
    """Ended containers that nothing but a look back needs. ``living`` are UIDs of pods that are not finished."""
    by_pod: dict[str, list[ContainerRecord]] = {}
    for record in records:
        by_pod.setdefault(record.pod_uid, []).append(record)
    found: list[ContainerRecord] = []
    for uid, members in by_pod.items():
        needed = latest_records(members).values() if uid in living else ()
        found += [one for one in members if one.ended and not one.is_sandbox and one not in needed]
    return found


async def remove_expendable(runtime: Runtime, living: Collection[str]) -> int:
    """How many went. Raises ``errors.EngineError``."""
    found = expendable(runtime.containers.all(), living)
    for record in found:
        log.info("pod %s: dead container %s (%s) removed to free disk", record.pod_uid, record.name, record.id[:12])
        await runtime.remove(record.id)
    return len(found)
