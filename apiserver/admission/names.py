"""The names of the admission plugins, which are Kubernetes', in the order in which they are asked."""

from typing import Final

NAMES: Final = (
    "NamespaceLifecycle",
    "ServiceAccount",
    "Priority",
    "DefaultTolerationSeconds",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
)
