"""What is kept beside objects, under ``/registry-meta/``: claims, and plain values of our own.

A claim is a key that belongs to one object, such as ``/registry-meta/ips/10.0.0.7``, whose value is the owner's
uid. It is taken and released in the transaction that writes its owner (``store.py``); here is what a repair
loop needs to look at claims and to drop one that is left over.
"""

from typing import NamedTuple

from apiserver.storage.errors import StorageConflict, as_api_errors
from apiserver.storage.etcd import Etcd, requests

META = "/registry-meta/"


class MetaValue(NamedTuple):
    value: bytes
    revision: int

    @property
    def owner(self) -> str:
        """Of a claim: the uid of the object that it belongs to."""
        return self.value.decode()


class Meta:
    """Values by key. All errors are those of ``storage.errors``."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    async def get(self, key: str) -> MetaValue | None:
        with as_api_errors():
            key_value = await self._etcd.get(_checked(key))
        return MetaValue(key_value.value, key_value.revision) if key_value else None

    async def list(self, prefix: str) -> dict[str, MetaValue]:
        """All values under a prefix, by key, as of one moment."""
        values: dict[str, MetaValue] = {}
        with as_api_errors():
            async for page in self._etcd.pages(_checked(prefix)):
                values.update((item.key, MetaValue(item.value, item.revision)) for item in page.items)
        return values

    async def put(self, key: str, value: bytes, expected_revision: int | None = None) -> int:
        """Write a value; the revision that did it.

        Args:
            expected_revision: of what is there now, 0 for nothing; None to write in any case.

        Raises:
            StorageConflict: something else is there.
        """
        return await self._write(key, requests.put(_checked(key), value), expected_revision)

    async def delete(self, key: str, expected_revision: int | None = None) -> int:
        """Remove a value, if there is one.

        Raises:
            StorageConflict: what is there is not at ``expected_revision``.
        """
        return await self._write(key, requests.delete(_checked(key)), expected_revision)

    async def _write(self, key: str, operation: requests.Operation, expected_revision: int | None) -> int:
        conditions = [] if expected_revision is None else [requests.unchanged(key, expected_revision)]
        with as_api_errors():
            outcome = await self._etcd.transact(conditions, [operation], operation="meta")
        if not outcome.succeeded:
            raise StorageConflict(key, None)
        return outcome.revision


def _checked(key: str) -> str:
    if not key.startswith(META):
        raise ValueError(f"{key} is not under {META}")
    return key
