"""What etcd holds of an object, read: its JSON, opened where the resource is encrypted."""

from typing import TypeVar

from apimachinery.errors import InternalError
from apimachinery.types.objects import KubeObject
from apiserver.storage.encryption import Encryption, Unreadable
from apiserver.storage.etcd import KeyValue
from apiserver.storage.objects import Stored, from_value

T = TypeVar("T", bound=KubeObject)


def read(item: KeyValue, cls: type[T], encryption: Encryption) -> Stored[T]:
    """The object under a key.

    Raises:
        BadRequest: its JSON cannot be read as ``cls``.
        InternalError: it cannot be decrypted.
    """
    try:
        value, is_stale = encryption.open(item.key, item.value)
    except Unreadable as fault:
        raise InternalError(f"{item.key} cannot be decrypted: {fault}") from fault
    stored = from_value(item.key, value, item.revision, cls)
    stored.is_stale = is_stale
    return stored
