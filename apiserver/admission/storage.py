"""What claims and volumes are given when they are made: protection while they are in use, and a storage class."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from apimachinery import meta
from apimachinery.types.core_v1 import PersistentVolume, PersistentVolumeClaim
from apimachinery.types.storage_v1 import StorageClass
from apiserver.admission import Plugin
from apiserver.request import Attributes

PVC_PROTECTION: Final = "kubernetes.io/pvc-protection"
PV_PROTECTION: Final = "kubernetes.io/pv-protection"
IS_DEFAULT_CLASS: Final = (
    "storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class",
)  # fmt: skip
_BETA_CLASS: Final = "volume.beta.kubernetes.io/storage-class"


class StorageObjectInUseProtection(Plugin):
    """A claim that pods use, and a volume that is bound, go only when that has ended; a controller sees to it."""

    async def admit(self, attributes: Attributes, obj: Any | None, old: Any | None) -> None:
        if attributes.verb != "create" or attributes.subresource:
            return
        if not isinstance(obj, PersistentVolumeClaim | PersistentVolume):
            return
        finalizer = PVC_PROTECTION if isinstance(obj, PersistentVolumeClaim) else PV_PROTECTION
        if finalizer not in (obj.metadata.finalizers or ()):
            obj.metadata.finalizers = [*(obj.metadata.finalizers or ()), finalizer]


class DefaultStorageClass(Plugin):
    """A claim that names no storage class gets the default one, if there is one; of several the newest."""

    def __init__(self, classes: Callable[[], Sequence[StorageClass]]) -> None:
        self._classes = classes

    async def admit(self, attributes: Attributes, obj: Any | None, old: Any | None) -> None:
        if attributes.verb != "create" or attributes.subresource or not isinstance(obj, PersistentVolumeClaim):
            return
        if obj.spec.storage_class_name is not None or _BETA_CLASS in meta.annotations_of(obj):
            return
        if found := [one for one in self._classes() if is_default(one)]:
            newest = max(found, key=lambda one: (one.metadata.creation_timestamp or "", meta.name_of(one)))
            obj.spec.storage_class_name = meta.name_of(newest)


def is_default(one: StorageClass) -> bool:
    return any(meta.annotations_of(one).get(key) == "true" for key in IS_DEFAULT_CLASS)
