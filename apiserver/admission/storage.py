"""What claims and volumes get when they are created: protection while they are in use, and a storage class."""

from apimachinery import meta
from apimachinery.core.well_known import (
    DEFAULT_CLASS_ANNOTATIONS,
    PV_PROTECTION_FINALIZER,
    PVC_PROTECTION_FINALIZER,
    STORAGE_CLASS_ANNOTATION,
)
from apimachinery.types.core_v1 import PersistentVolume, PersistentVolumeClaim
from apimachinery.types.storage_v1 import StorageClass
from apiserver.admission import Plugin
from apiserver.registry.store import Store
from apiserver.request import Attributes


class StorageObjectInUseProtection(Plugin[PersistentVolumeClaim | PersistentVolume]):
    """A claim that pods use, and a volume that is bound, are removed only afterwards; a controller ensures that."""

    types = (PersistentVolumeClaim, PersistentVolume)

    async def admit(
        self,
        attributes: Attributes,
        obj: PersistentVolumeClaim | PersistentVolume,
        old: PersistentVolumeClaim | PersistentVolume | None,
    ) -> None:
        if attributes.verb != "create" or attributes.subresource:
            return
        finalizer = PVC_PROTECTION_FINALIZER if isinstance(obj, PersistentVolumeClaim) else PV_PROTECTION_FINALIZER
        if finalizer not in (obj.metadata.finalizers or ()):
            obj.metadata.finalizers = [*(obj.metadata.finalizers or ()), finalizer]


class DefaultStorageClass(Plugin[PersistentVolumeClaim]):
    """A claim that names no storage class gets the default one, if there is one; of several the newest."""

    types = (PersistentVolumeClaim,)

    def __init__(self, classes: Store[StorageClass]) -> None:
        self._classes = classes

    async def admit(
        self, attributes: Attributes, obj: PersistentVolumeClaim, old: PersistentVolumeClaim | None
    ) -> None:
        if attributes.verb != "create" or attributes.subresource:
            return
        if obj.spec.storage_class_name is not None or STORAGE_CLASS_ANNOTATION in meta.annotations_of(obj):
            return
        defaults = [cls for cls in self._classes.all_cached() if is_default(cls)] if self._classes.is_loaded else []
        if defaults:
            newest = max(defaults, key=lambda cls: (cls.metadata.creation_timestamp or "", meta.name_of(cls)))
            obj.spec.storage_class_name = meta.name_of(newest)


def is_default(storage_class: StorageClass) -> bool:
    return any(meta.annotations_of(storage_class).get(key) == "true" for key in DEFAULT_CLASS_ANNOTATIONS)
