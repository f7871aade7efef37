"""Where objects live: etcd, and the watch cache in front of it. The only package that knows etcd."""

from apiserver.storage.cache import Cache, ObjectCache, ObjectWatch
from apiserver.storage.encryption import NO_ENCRYPTION, Encryption, read_configuration
from apiserver.storage.errors import (
    AlreadyExists,
    ClaimTaken,
    Lagged,
    StorageConflict,
)
from apiserver.storage.etcd import Etcd, EtcdConfig
from apiserver.storage.follower import Follower
from apiserver.storage.meta import Meta, MetaValue
from apiserver.storage.objects import Event, EventType, Stored
from apiserver.storage.space import Space, make_room
from apiserver.storage.store import Page, Storage
from apiserver.storage.subscription import Subscription

__all__ = [
    "NO_ENCRYPTION",
    "AlreadyExists",
    "Cache",
    "ClaimTaken",
    "Encryption",
    "Etcd",
    "EtcdConfig",
    "Event",
    "EventType",
    "Follower",
    "Lagged",
    "Meta",
    "MetaValue",
    "ObjectCache",
    "ObjectWatch",
    "Page",
    "Space",
    "Storage",
    "StorageConflict",
    "Stored",
    "Subscription",
    "make_room",
    "read_configuration",
]
