"""Which persistent volume a claim is bound to: the smallest that offers what it requests. Pure."""

from collections.abc import Iterable

from apimachinery import meta, quantity, selectors
from apimachinery.core import well_known
from apimachinery.types.core_v1 import ObjectReference, PersistentVolume, PersistentVolumeClaim
from apimachinery.types.storage_v1 import StorageClass


def class_of(obj: PersistentVolume | PersistentVolumeClaim) -> str:
    """The storage class's name; the annotation that preceded the field takes precedence."""
    return meta.annotations_of(obj).get(well_known.STORAGE_CLASS_ANNOTATION) or obj.spec.storage_class_name or ""


def delays_binding(storage_class: StorageClass | None) -> bool:
    """Whether claims of the class are bound only when a pod that uses them is scheduled."""
    return storage_class is not None and storage_class.volume_binding_mode == "WaitForFirstConsumer"


def is_provisioned_externally(storage_class: StorageClass | None) -> bool:
    """Whether a program outside of Kubernetes creates volumes of the class on demand."""
    return storage_class is not None and not storage_class.provisioner.startswith(well_known.IN_TREE_PROVISIONER_PREFIX)


def reference(claim: PersistentVolumeClaim) -> ObjectReference:
    namespace, name = meta.key_of(claim)
    return ObjectReference(
        api_version="v1",
        kind="PersistentVolumeClaim",
        namespace=namespace,
        name=name,
        uid=meta.uid_of(claim),
        resource_version=claim.metadata.resource_version,
    )


def refers(ref: ObjectReference | None, claim: PersistentVolumeClaim) -> bool:
    """Whether a volume's ``claimRef`` names this claim; a hand-written reference has no UID."""
    if ref is None or (ref.namespace or "", ref.name or "") != meta.key_of(claim):
        return False
    return not ref.uid or ref.uid == meta.uid_of(claim)


def mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Why a volume that the claim names cannot be bound to it; empty if it can."""
    if capacity(volume) < requested(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if (volume.spec.volume_mode or "Filesystem") != (claim.spec.volume_mode or "Filesystem"):
        return "incompatible volumeMode"
    if not set(claim.spec.access_modes or ()) <= set(volume.spec.access_modes or ()):
        return "incompatible accessMode"
    return ""


def best_match(
    claim: PersistentVolumeClaim, volumes: Iterable[PersistentVolume], *, reserved_only: bool = False
) -> PersistentVolume | None:
    """The volume that is reserved for the claim, otherwise the smallest available one that matches.

    Args:
        reserved_only: ignore available volumes: the scheduler chooses among them.
    """
    best: PersistentVolume | None = None
    for volume in volumes:
        if not matches(volume, claim):
            continue
        if refers(volume.spec.claim_ref, claim):
            return volume
        if reserved_only:
            continue
        if best is None or (capacity(volume), meta.name_of(volume)) < (capacity(best), meta.name_of(best)):
            best = volume
    return best


def matches(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether the claim can be bound to the volume: it is reserved for the claim, or available and suitable."""
    if meta.is_being_deleted(volume) or mismatch(volume, claim):
        return False
    if volume.spec.claim_ref is not None:
        return refers(volume.spec.claim_ref, claim)
    if volume.status.phase != "Available":
        return False
    selector = claim.spec.selector
    return selector is None or selectors.from_label_selector(selector).matches(meta.labels_of(volume))


def capacity(volume: PersistentVolume) -> int:
    return quantity.value((volume.spec.capacity or {}).get("storage", 0))


def requested(claim: PersistentVolumeClaim) -> int:
    """Bytes that the claim requests."""
    requests = (claim.spec.resources.requests if claim.spec.resources else None) or {}
    return quantity.value(requests.get("storage", 0))
