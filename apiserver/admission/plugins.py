"""The admission plugins under Kubernetes' names, in the order in which they are asked; the small ones are here, too."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any, Final, TypeVar

from apimachinery import errors, meta
from apimachinery.core.tolerations import NO_EXECUTE
from apimachinery.core.well_known import (
    DEFAULT_CLASS_ANNOTATIONS,
    NOT_READY_TAINT,
    PV_PROTECTION_FINALIZER,
    PVC_PROTECTION_FINALIZER,
    STORAGE_CLASS_ANNOTATION,
    UNREACHABLE_TAINT,
)
from apimachinery.meta import Key
from apimachinery.types.core_v1 import (
    LimitRange,
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    Toleration,
)
from apimachinery.types.core_v1 import ResourceQuota as Quota
from apimachinery.types.core_v1 import ServiceAccount as Account
from apimachinery.types.meta_v1 import StatusCause
from apimachinery.types.node_v1 import RuntimeClass as NodeRuntimeClass
from apimachinery.types.objects import KubeObject
from apimachinery.types.scheduling_v1 import PriorityClass
from apimachinery.types.storage_v1 import StorageClass
from apiserver.admission import Plugin
from apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    SigningRequestor,
)
from apiserver.admission.classes import Priority, RuntimeClass
from apiserver.admission.configuration import Configurations
from apiserver.admission.limit_ranger import LimitRanger
from apiserver.admission.node_restriction import NodeRestriction
from apiserver.admission.owner_references import OwnerReferencesPermissionEnforcement
from apiserver.admission.pod_security.plugin import PodSecurity
from apiserver.admission.resource_quota import ResourceQuota
from apiserver.admission.service_account import ServiceAccount
from apiserver.admission.services import DenyServiceExternalIPs
from apiserver.authorization import Authorizer
from apiserver.registry.resources import Resources
from apiserver.registry.store import Store
from apiserver.request import Attributes

T = TypeVar("T", bound=KubeObject)

IMMORTAL: Final = ("default", "kube-system", "kube-public")


class NamespaceLifecycle(Plugin[KubeObject]):
    types = (KubeObject,)

    def __init__(self, namespaces: Store[Namespace]) -> None:
        self._namespaces = namespaces

    async def admit(self, attributes: Attributes, obj: KubeObject, old: KubeObject | None) -> None:
        if attributes.verb != "create" or not attributes.namespace or isinstance(obj, Namespace):
            return
        namespace = await self._namespaces.find(Key("", attributes.namespace))
        if namespace is None:
            raise errors.not_found("namespaces", "", attributes.namespace)
        if namespace.metadata.deletion_timestamp or namespace.status.phase == "Terminating":
            raise _terminating(attributes, meta.name_of(obj))

    async def validate_delete(self, attributes: Attributes, old: KubeObject) -> None:
        if isinstance(old, Namespace) and attributes.verb == "delete" and attributes.name in IMMORTAL:
            raise errors.forbidden("namespaces", "", attributes.name, "this namespace may not be deleted")


def _terminating(attributes: Attributes, name: str) -> errors.Forbidden:
    error = errors.forbidden(
        attributes.resource,
        attributes.group,
        name,
        f"unable to create new content in namespace {attributes.namespace} because it is being terminated",
    )
    cause = StatusCause(
        reason="NamespaceTerminating",
        message=f"namespace {attributes.namespace} is being terminated",
        field="metadata.namespace",
    )
    assert error.details is not None
    error.details.causes = [cause]
    return error


class DefaultTolerationSeconds(Plugin[Pod]):
    """A pod stays some minutes on a node that is not ready or unreachable, unless it says otherwise.

    Updates get the same: whoever applies a manifest again writes the whole list without these two.
    """

    types = (Pod,)

    def __init__(self, not_ready_seconds: int, unreachable_seconds: int) -> None:
        self._seconds = {NOT_READY_TAINT: not_ready_seconds, UNREACHABLE_TAINT: unreachable_seconds}

    async def admit(self, attributes: Attributes, obj: Pod, old: Pod | None) -> None:
        if attributes.subresource:
            return
        tolerations = obj.spec.tolerations or []
        for key, seconds in self._seconds.items():
            # not is_tolerated: upstream compares key and effect alone, whatever the operator and value
            if not any(_is_about(toleration, key) for toleration in tolerations):
                default = Toleration(key=key, operator="Exists", effect=NO_EXECUTE, toleration_seconds=seconds)
                tolerations = [*tolerations, default]
        obj.spec.tolerations = tolerations


def _is_about(toleration: Toleration, key: str) -> bool:
    return (toleration.key or "") in ("", key) and (toleration.effect or "") in ("", NO_EXECUTE)


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


@dataclass(frozen=True)
class Parts:
    """What plugins are made from."""

    resources: Resources
    mounts_tokens: bool
    """Whether pods get tokens of their service accounts."""
    configurations: Configurations
    authorizer: Authorizer
    not_ready_seconds: int
    """How long pods stay by default on nodes that are not ready."""
    unreachable_seconds: int
    service_range: IPv4Network

    def store(self, kind: type[T]) -> Store[T]:
        return self.resources.store(kind)


PLUGINS: Final[Mapping[str, Callable[[Parts], Plugin[Any]]]] = {
    "NamespaceLifecycle": lambda parts: NamespaceLifecycle(parts.store(Namespace)),
    "LimitRanger": lambda parts: LimitRanger(parts.store(LimitRange)),
    "ServiceAccount": lambda parts: ServiceAccount(parts.store(Account), mounts_tokens=parts.mounts_tokens),
    "NodeRestriction": lambda parts: NodeRestriction(parts.store(Pod), parts.store(Node), parts.service_range),
    "PodSecurity": lambda parts: PodSecurity(
        parts.store(Namespace), parts.store(Pod), parts.configurations.pod_security
    ),
    "Priority": lambda parts: Priority(parts.store(PriorityClass)),
    "DefaultTolerationSeconds": lambda parts: DefaultTolerationSeconds(
        parts.not_ready_seconds, parts.unreachable_seconds
    ),
    "DefaultStorageClass": lambda parts: DefaultStorageClass(parts.store(StorageClass)),
    "StorageObjectInUseProtection": lambda parts: StorageObjectInUseProtection(),
    "OwnerReferencesPermissionEnforcement": lambda parts: OwnerReferencesPermissionEnforcement(
        parts.resources, parts.authorizer
    ),
    "RuntimeClass": lambda parts: RuntimeClass(parts.store(NodeRuntimeClass)),
    "CertificateApproval": lambda parts: CertificateApproval(parts.authorizer),
    "CertificateSigning": lambda parts: CertificateSigning(parts.authorizer),
    "CertificateSubjectRestriction": lambda parts: CertificateSubjectRestriction(),
    "DenyServiceExternalIPs": lambda parts: DenyServiceExternalIPs(),
    "ResourceQuota": lambda parts: ResourceQuota(parts.store(Quota)),  # the last: what is charged is written
}
OFF_BY_DEFAULT: Final = frozenset(("DenyServiceExternalIPs", "NodeRestriction", "OwnerReferencesPermissionEnforcement"))
ON_BY_DEFAULT: Final = tuple(name for name in PLUGINS if name not in OFF_BY_DEFAULT)


def plugins(parts: Parts, enabled: Collection[str], disabled: Collection[str]) -> list[Plugin[Any]]:
    """The default ones and those that are enabled, without those that are disabled."""
    names = {*ON_BY_DEFAULT, *enabled} - set(disabled)
    return [*(make(parts) for name, make in PLUGINS.items() if name in names), SigningRequestor()]
