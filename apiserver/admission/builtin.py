"""The admission plugins that every apiserver has, under Kubernetes' names, in the order in which they are asked."""

from collections.abc import Collection
from typing import Any, Final

from apimachinery.types.core_v1 import Namespace
from apimachinery.types.core_v1 import ServiceAccount as Account
from apimachinery.types.storage_v1 import StorageClass
from apiserver.admission import Plugin
from apiserver.admission.certificates import SigningRequestor
from apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from apiserver.admission.pods import DefaultTolerationSeconds, Priority
from apiserver.admission.service_account import ServiceAccount
from apiserver.admission.storage import DefaultStorageClass, StorageObjectInUseProtection
from apiserver.registry.resources import Resources

NAMES: Final = (
    "NamespaceLifecycle",
    "ServiceAccount",
    "Priority",
    "DefaultTolerationSeconds",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
)


def plugins(resources: Resources, disabled: Collection[str], *, mounts_tokens: bool) -> list[Plugin[Any]]:
    """All but the disabled ones; ``mounts_tokens``: whether pods get tokens of their service accounts."""
    by_name: dict[str, Plugin[Any]] = {
        "NamespaceLifecycle": NamespaceLifecycle(resources.store(Namespace)),
        "ServiceAccount": ServiceAccount(resources.store(Account), mounts_tokens=mounts_tokens),
        "Priority": Priority(),
        "DefaultTolerationSeconds": DefaultTolerationSeconds(),
        "DefaultStorageClass": DefaultStorageClass(resources.store(StorageClass)),
        "StorageObjectInUseProtection": StorageObjectInUseProtection(),
    }
    return [*(by_name[name] for name in NAMES if name not in disabled), SigningRequestor()]
