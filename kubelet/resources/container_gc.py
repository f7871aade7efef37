"""Dead containers that are removed when the disk is full: they pin images, and their logs and layers take space.

Otherwise pod workers keep what ``logs --previous`` needs (``plan.KEEP_DEAD``), and everything of a finished pod until it
is deleted. Under disk pressure only the last container of each name of an unfinished pod is kept.
"""

import logging
from collections.abc import Collection, Iterable

from kubelet.runtime import ContainerRecord, Runtime
from kubelet.runtime.records import latest_records

log = logging.getLogger(__name__)


def expendable(records: Iterable[ContainerRecord], unfinished: Collection[str]) -> list[ContainerRecord]:
    """Ended containers that are kept only for the record. ``unfinished`` are UIDs of pods that have not finished."""
    by_pod: dict[str, list[ContainerRecord]] = {}
    for record in records:
        by_pod.setdefault(record.pod_uid, []).append(record)
    result: list[ContainerRecord] = []
    for uid, members in by_pod.items():
        needed = latest_records(members).values() if uid in unfinished else ()
        result += [r for r in members if r.ended and not r.is_sandbox and r not in needed]
    return result


async def remove_expendable(runtime: Runtime, unfinished: Collection[str]) -> int:
    """How many were removed. Raises ``errors.EngineError``."""
    removed = expendable(runtime.containers.all(), unfinished)
    for record in removed:
        log.info("pod %s: dead container %s (%s) removed to free disk", record.pod_uid, record.name, record.id[:12])
        await runtime.remove(record.id)
    return len(removed)
