"""The admission plugins that every apiserver has, under Kubernetes' names, in the order in which they are asked."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from apimachinery.meta import Key
from apiserver.admission import Plugin
from apiserver.admission.certificates import SigningRequestor
from apiserver.admission.names import NAMES
from apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from apiserver.admission.pods import DefaultTolerationSeconds, Priority
from apiserver.admission.service_account import ServiceAccount
from apiserver.admission.storage import DefaultStorageClass, StorageObjectInUseProtection
from apiserver.handlers.table import ResourceTable
from apiserver.options import ApiserverOptions

_FACTORIES: Final[dict[str, Callable[[ResourceTable, ApiserverOptions], Plugin]]] = {
    "NamespaceLifecycle": lambda table, options: NamespaceLifecycle(_by_name(table)),
    "ServiceAccount": lambda table, options: ServiceAccount(
        _finder(table, "serviceaccounts"),
        mounts_tokens=options.identity.service_account_signing_key_file is not None,
    ),
    "Priority": lambda table, options: Priority(),
    "DefaultTolerationSeconds": lambda table, options: DefaultTolerationSeconds(),
    "DefaultStorageClass": lambda table, options: DefaultStorageClass(
        lambda: _all(table, "storage.k8s.io", "storageclasses")
    ),
    "StorageObjectInUseProtection": lambda table, options: StorageObjectInUseProtection(),
}


def plugins(options: ApiserverOptions, table: ResourceTable) -> list[Plugin]:
    """Those to use: all of ours are usual ones, so what counts is which of them are left out."""
    off = options.admission.disable_admission_plugins
    return [*(_FACTORIES[name](table, options) for name in NAMES if name not in off), SigningRequestor()]


def _by_name(table: ResourceTable) -> Callable[[str], Awaitable[Any | None]]:
    find = _finder(table, "namespaces")
    return lambda name: find(Key("", name))


def _finder(table: ResourceTable, plural: str) -> Callable[[Key], Awaitable[Any | None]]:
    """Looks an object of the core group up: in the cache, then in the storage, which knows what was made just now."""
    store: Any = table.find("", "v1", plural)

    async def find(key: Key) -> Any | None:
        path = store.info.storage_key(key)
        stored = store.cache.get(path) if store.cache.is_loaded else None
        if stored is None:
            stored = await store.storage.get(path, store.info.type)
        return stored.object if stored else None

    return find


def _all(table: ResourceTable, group: str, plural: str) -> list[Any]:
    store: Any = table.find(group, "v1", plural)
    return [one.object for one in store.cache.items()[0]] if store.cache.is_loaded else []
