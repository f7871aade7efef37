"""The records of the cluster's domain and of reverse names, by name.

Owns which names exist. A name exists when it has records or when a name below it exists (an "empty non-terminal":
``default.svc.cluster.local``); the two kinds of negative answer depend on it. ``revision`` grows with each change
that a question could notice, so whoever keeps answers knows when they are stale.
"""

from collections.abc import Hashable, Iterator

from kube_dns import records
from kube_dns.records import Record, Records


class Zone:
    """``domain`` without the last dot."""

    def __init__(self, domain: str, server_ip: str | None = None) -> None:
        self.domain = domain.lower().rstrip(".")
        self.revision = 0
        self._suffix = f".{self.domain}"
        self._pods = f".pod.{self.domain}"
        self._by_name: dict[str, dict[Hashable, tuple[Record, ...]]] = {}
        self._by_owner: dict[Hashable, Records] = {}
        self._below: dict[str, int] = {}  # name -> how many names right or further below it
        self.replace(None, records.of_domain(self.domain, server_ip))

    def __len__(self) -> int:
        return len(self._by_name)

    def contains(self, name: str) -> bool:
        """Whether the name is the cluster's to answer; reverse names are not."""
        return name.endswith(self._suffix) or name == self.domain

    def replace(self, owner: Hashable, new: Records) -> None:
        """Let the owner's records be these alone; an empty mapping forgets the owner."""
        old = self._by_owner.get(owner, {})
        if old == new:
            return
        for name in old.keys() - new.keys():
            self._remove(name, owner)
        for name, records_of_name in new.items():
            self._set(name, owner, records_of_name)
        if new:
            self._by_owner[owner] = new
        else:
            self._by_owner.pop(owner, None)
        self.revision += 1

    def lookup(self, name: str) -> tuple[Record, ...] | None:
        """The records of a name; none of them when only names below it exist; None when the name does not exist."""
        owners = self._by_name.get(name)
        if owners is not None:
            if len(owners) == 1:
                return next(iter(owners.values()))
            return tuple(dict.fromkeys(record for owned in owners.values() for record in owned))
        if name in self._below:
            return ()
        return self._pod(name) if name.endswith(self._pods) else None

    def _pod(self, name: str) -> tuple[Record, ...] | None:
        """``<address with dashes>.<namespace>.pod.<domain>`` holds for every address, in namespaces that exist."""
        label, _, namespace = name.partition(".")
        address = records.undashed(label) if namespace in self._by_name else None
        return (records.address_record(address),) if address else None

    def _set(self, name: str, owner: Hashable, new: tuple[Record, ...]) -> None:
        owners = self._by_name.get(name)
        if owners is None:
            owners = self._by_name[name] = {}
            for above in self._above(name):
                self._below[above] = self._below.get(above, 0) + 1
        owners[owner] = new

    def _remove(self, name: str, owner: Hashable) -> None:
        owners = self._by_name[name]
        del owners[owner]
        if owners:
            return
        del self._by_name[name]
        for above in self._above(name):
            self._below[above] -= 1
            if not self._below[above]:
                del self._below[above]

    def _above(self, name: str) -> Iterator[str]:
        while name.endswith(self._suffix):
            name = name.partition(".")[2]
            yield name
