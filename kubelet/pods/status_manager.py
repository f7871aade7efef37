"""Writes pod statuses to the apiserver: only what changed, the newest only, never to a pod of another UID.

``set`` returns at once; a status is written, and retried, in the background, one write per pod at a time. The patch carries
the pod's UID, so that a pod deleted and created again under the same name is never touched.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery import codec, errors, meta
from apimachinery.types import core_v1
from kube_client import Client, WorkQueue, process
from kubelet.pods.conditions import DISRUPTION_TARGET, OWN_CONDITIONS

log = logging.getLogger(__name__)

WORKERS = 4

_REPLACED_LISTS = ("podIPs", "hostIPs")
"""Lists that a strategic merge would merge by key: old addresses would stay."""


@dataclass
class _Entry:
    pod: core_v1.Pod
    status: core_v1.PodStatus
    """The newest one of ours."""
    written: core_v1.PodStatus | None
    """The one that the apiserver has, as far as we know; None if it has to be asked."""
    version: int = 0
    """The revision of our last write; the informer's object may be older for a moment."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)


class StatusManager:
    """Belongs to the event loop; start ``run`` in the daemon's task group."""

    def __init__(self, client: Client, in_api: Callable[[core_v1.Pod], core_v1.Pod | None] | None = None) -> None:
        """``in_api`` gives the object that represents a pod in the API, if there is one; by default the pod itself."""
        self._pods_api = client.resource(core_v1.Pod)
        self._in_api = in_api or (lambda pod: pod)
        self._entries: dict[str, _Entry] = {}
        self._queue = WorkQueue[str]("pod-status")

    async def run(self) -> None:
        await process(self._queue, self._sync, workers=WORKERS)

    def latest(self, pod: core_v1.Pod) -> core_v1.PodStatus:
        """The status last set, else the API's: the base of a new one.

        Conditions that others own are taken from ``pod``, where they are newer.
        """
        entry = self._entries.get(meta.uid_of(pod))
        if entry is None:
            return pod.status
        return _with_conditions_of_others(entry.status, pod.status)

    def set(self, pod: core_v1.Pod, status: core_v1.PodStatus) -> None:
        """Have ``status`` written if it differs from what the API has."""
        uid, in_api = meta.uid_of(pod), self._in_api(pod)
        if in_api is None:
            return
        entry = self._entries.get(uid)
        if entry is None or meta.uid_of(entry.pod) != meta.uid_of(in_api):
            entry = self._entries[uid] = _Entry(in_api, in_api.status, in_api.status)
            entry.settled.set()
        entry.pod = in_api
        if status != entry.status or self._is_overwritten(entry):
            entry.status = status
            entry.settled.clear()
            self._queue.add(uid)

    @staticmethod
    def _is_overwritten(entry: _Entry) -> bool:
        """Whether another client changed fields of ours: the node controller does while this node does not report."""
        version = int(entry.pod.metadata.resource_version or 0)
        if not entry.settled.is_set() or version <= entry.version or not status_patch(entry.pod.status, entry.status):
            return False
        entry.written = entry.pod.status
        return True

    async def settled(self, uid: str) -> None:
        """Return when the newest status of a pod is written, or cannot be because the pod is gone."""
        entry = self._entries.get(uid)
        if entry is not None:
            await entry.settled.wait()

    def rewind(self) -> None:
        """The apiserver's data were replaced by older ones: what we wrote may be gone."""
        for uid, entry in self._entries.items():
            entry.written, entry.version = None, 0
            entry.settled.clear()
            self._queue.add(uid)

    def forget(self, uid: str) -> None:
        """The pod is gone: nothing more is written."""
        entry = self._entries.pop(uid, None)
        if entry is not None:
            entry.settled.set()
        self._queue.forget(uid)

    async def _sync(self, uid: str) -> None:
        entry = self._entries.get(uid)
        if entry is None:
            return
        status, written = entry.status, entry.written
        known: core_v1.PodStatus | None = status
        try:
            await self._write(entry, status)
        except errors.NotFound as exc:
            log.info("%s: status not written: %s", meta.key_of(entry.pod), exc)
        except errors.Invalid as exc:  # rejected for good; the next one is compared with what the API has
            log.warning("%s: status not written: %s", meta.key_of(entry.pod), exc)
            known = None
        except errors.Conflict as exc:
            if await self._exists(entry.pod):
                raise  # lost a race with another writer
            log.info("%s: status not written, another pod has the name: %s", meta.key_of(entry.pod), exc)
        if entry.written is written:  # no rewind meanwhile
            entry.written = known
        if entry.status is status and entry.written is known:
            entry.settled.set()
        else:
            self._queue.add(uid)

    async def _write(self, entry: _Entry, status: core_v1.PodStatus) -> None:
        name, namespace = meta.name_of(entry.pod), meta.namespace_of(entry.pod)
        written = entry.written
        if written is None:
            written = (await self._pods_api.get(name, namespace=namespace)).status
        patch = status_patch(written, status)
        if patch:
            body = {"metadata": {"uid": meta.uid_of(entry.pod)}, "status": patch}
            patched = await self._pods_api.patch(
                name, body, namespace=namespace, kind="strategic", subresource="status"
            )
            entry.version = int(patched.metadata.resource_version or 0)
            log.debug("%s: status written: %s", meta.key_of(entry.pod), status.phase)

    async def _exists(self, pod: core_v1.Pod) -> bool:
        try:
            pod_in_api = await self._pods_api.get(meta.name_of(pod), namespace=meta.namespace_of(pod))
        except errors.NotFound:
            return False
        return meta.uid_of(pod_in_api) == meta.uid_of(pod)


def status_patch(old: core_v1.PodStatus, new: core_v1.PodStatus) -> dict[str, Any]:
    """A strategic merge patch of the fields that differ; empty when none does. Conditions of others are left out."""
    before, after = codec.to_builtins(old), codec.to_builtins(new)
    patch: dict[str, Any] = {}
    for key in before.keys() | after.keys():
        if before.get(key) == after.get(key):
            continue
        value = after.get(key)
        if key == "conditions":
            known = {condition["type"]: condition for condition in before.get(key) or ()}
            ours = (*OWN_CONDITIONS, *(() if DISRUPTION_TARGET in known else (DISRUPTION_TARGET,)))
            value = [c for c in value or () if c["type"] in ours and c != known.get(c["type"])]
            # A merge keeps fields that the patch omits: a reason that is gone has to be set to null.
            value = [{**dict.fromkeys(known.get(c["type"], {})), **c} for c in value]
            if not value:
                continue
        elif key in _REPLACED_LISTS and before.get(key) and value is not None:
            value = [*value, {"$patch": "replace"}]
        patch[key] = value
    return patch


def _with_conditions_of_others(own: core_v1.PodStatus, api: core_v1.PodStatus) -> core_v1.PodStatus:
    others = [c for c in api.conditions or () if c.type not in OWN_CONDITIONS]
    ours = {*OWN_CONDITIONS, DISRUPTION_TARGET} - {c.type for c in others}
    mine: Sequence[core_v1.PodCondition] = [c for c in own.conditions or () if c.type in ours]
    status = codec.copy(own)
    status.conditions = [*mine, *others]
    status.qos_class = api.qos_class or own.qos_class
    return status
