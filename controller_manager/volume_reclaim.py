"""Reclaims a volume whose claim is gone, according to its reclaim policy.

Retain leaves it to a person. Delete removes a host path's directory, below /tmp only (as in Kubernetes, for trials on
one machine), and the volume with it; there is no deleter for other kinds. Recycle is not supported. What cannot be done
makes the volume Failed, with the reason as its message.
"""

import asyncio
import logging
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from apimachinery import codec, errors, meta
from apimachinery.core import well_known
from apimachinery.types.core_v1 import PersistentVolume
from kube_client import Client, EventRecorder

log = logging.getLogger(__name__)

_DELETABLE: Final = re.compile(r"/tmp/.+")


class CannotReclaim(Exception):
    """The message is for the event."""


class Reclaimer:
    def __init__(self, client: Client, recorder: EventRecorder) -> None:
        self._volumes_api = client.resource(PersistentVolume)
        self._recorder = recorder

    async def reclaim(self, volume: PersistentVolume) -> None:
        """Safe to repeat; a volume that failed is not retried until a person frees it."""
        policy = volume.spec.persistent_volume_reclaim_policy or "Retain"
        if volume.status.phase == "Failed" or meta.is_being_deleted(volume):
            return
        if policy == "Recycle":
            await self._fail(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
        elif policy == "Delete":
            provisioner = meta.annotations_of(volume).get(well_known.PROVISIONED_BY_ANNOTATION, "")
            if provisioner and not provisioner.startswith(well_known.IN_TREE_PROVISIONER_PREFIX):
                return  # its provisioner deletes it
            try:
                await asyncio.to_thread(_delete_content, volume)
            except CannotReclaim as fault:
                await self._fail(volume, "VolumeFailedDelete", str(fault))
                return
            with suppress(errors.NotFound, errors.Conflict):
                await self._volumes_api.delete(meta.name_of(volume), uid=meta.uid_of(volume))
                log.info("%s: deleted, its claim is gone", meta.name_of(volume))

    async def _fail(self, volume: PersistentVolume, reason: str, message: str) -> None:
        changed = codec.copy(volume)
        changed.status.phase, changed.status.message, changed.status.reason = "Failed", message, None
        await self._volumes_api.update_status(changed)
        self._recorder.event(volume, "Warning", reason, message)


def _delete_content(volume: PersistentVolume) -> None:
    """Raises CannotReclaim. Blocks."""
    source = volume.spec.host_path
    if source is None:
        name = meta.name_of(volume)
        raise CannotReclaim(
            f'error getting deleter volume plugin for volume "{name}": no deletable volume plugin matched'
        )
    path = Path(source.path)
    if not _DELETABLE.fullmatch(source.path) or path.resolve() != path:  # a symbolic link could lead anywhere
        raise CannotReclaim(f"host_path deleter only supports /tmp/.+ but received provided {source.path}")
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as fault:
        raise CannotReclaim(f"cannot delete {source.path}: {fault.strerror}") from fault
