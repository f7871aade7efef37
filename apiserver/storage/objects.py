"""What caches hold and watches deliver: an object as it is stored, and an event about it.

Both are shared by every reader and never changed. What is derived from them is made once,
on first use, and kept in ``memo`` and ``encodings``.

In etcd an object is JSON in its storage version without resourceVersion, which is the key's mod revision.
``data`` is that JSON with the resourceVersion put in.
"""

from typing import Any, Generic, Literal, TypeVar

from apimachinery import codec
from apimachinery.types.objects import KubeObject

T = TypeVar("T", bound=KubeObject)

EventType = Literal["ADDED", "MODIFIED", "DELETED"]

_METADATA = b'"metadata":{'


class Stored(Generic[T]):
    """An object as of one revision. ``object`` and ``data`` (its JSON) carry that revision."""

    __slots__ = ("_memo", "_object", "_type", "data", "is_stale", "key", "revision")

    def __init__(self, key: str, obj: T, data: bytes, revision: int) -> None:
        self.key = key
        self.data = data
        self.revision = revision
        self.is_stale = False
        """Whether etcd holds it in another form than it would be written in now: an update that changes nothing is
        written, too."""
        self._object: T | None = obj
        self._type = type(obj)
        self._memo: dict[Any, Any] | None = None

    @property
    def object(self) -> T:
        """The object, shared and not to be changed. Decoded again from ``data`` if it was dropped."""
        if self._object is None:
            self._object = codec.decode(self.data, self._type)
        return self._object

    def shed(self) -> None:
        """Drop the object, which takes three times the memory of ``data``, and what was derived from it, until it is
        read again."""
        self._object = self._memo = None

    @property
    def memo(self) -> dict[Any, Any]:
        """Encodings that others derived from this object. Made on demand: most objects never have one."""
        if self._memo is None:
            self._memo = {}
        return self._memo

    def at(self, revision: int) -> "Stored[T]":
        """The same object with another revision, as a DELETED event shows it."""
        obj = codec.decode(self.data, self._type)
        obj.metadata.resource_version = str(revision)
        return Stored(self.key, obj, codec.encode(obj), revision)

    def __repr__(self) -> str:
        return f"<{self.key} at {self.revision}>"


def to_value(obj: KubeObject) -> bytes:
    """What etcd holds of an object."""
    version = obj.metadata.resource_version
    obj.metadata.resource_version = None
    try:
        return codec.encode(obj)
    finally:
        obj.metadata.resource_version = version


def from_value(key: str, value: bytes, revision: int, cls: type[T]) -> Stored[T]:
    """The object that etcd holds under a key.

    Raises:
        BadRequest: it cannot be read as ``cls``.
    """
    version = str(revision)
    data = _with_revision(value, revision)
    if data is not None:
        # Decoding what is kept anyway lets the object's raw fields be views of it.
        obj = codec.decode(data, cls)
        if obj.metadata.resource_version == version:  # otherwise the value had one, and the later one counts
            return Stored(key, obj, data, revision)
    obj = codec.decode(value, cls)
    obj.metadata.resource_version = version
    return Stored(key, obj, codec.encode(obj), revision)


def _with_revision(value: bytes, revision: int) -> bytes | None:
    """The JSON with resourceVersion put in, a third of the cost of decoding and encoding; None if it is not
    written as ``to_value`` does it."""
    start = value.find(_METADATA)
    # Within a string the quotes would be escaped; a brace before it would mean a nested object.
    if start < 0 or value.rfind(b"{", 0, start) != 0:
        return None
    at = start + len(_METADATA)
    comma = b"" if value[at : at + 1] == b"}" else b","
    return b'%b"resourceVersion":"%d"%b%b' % (value[:at], revision, comma, value[at:])


class Event(Generic[T]):
    """A change of one object: from ``old`` to ``new``, of which one is None if it was created or deleted."""

    __slots__ = ("_gone", "_memo", "encodings", "key", "new", "old", "revision", "time")

    def __init__(self, key: str, revision: int, old: Stored[T] | None, new: Stored[T] | None, time: float) -> None:
        self.key = key
        self.revision = revision
        self.old = old
        self.new = new
        self.time = time  # monotonic, when it was received
        self._gone: Stored[T] | None = None
        self.encodings: dict[str, bytes] = {}
        """The event as handlers send it, by names of their own: encoded once, however many watchers there are."""
        self._memo: dict[Any, Any] | None = None

    @property
    def type(self) -> EventType:
        """What it is to a watcher without a selector. With one, MODIFIED may be ADDED or DELETED."""
        if self.new is None:
            return "DELETED"
        return "ADDED" if self.old is None else "MODIFIED"

    @property
    def size(self) -> int:
        """Bytes of JSON of the object as it is now, or was at last."""
        latest = self.new or self.old
        return len(latest.data) if latest is not None else 0

    @property
    def gone(self) -> Stored[T]:
        """What DELETED shows: the last state, with this event's revision. Not for an object just created."""
        if self._gone is None:
            assert self.old is not None
            self._gone = self.old.at(self.revision)
        return self._gone

    def shed(self) -> None:
        """Drop all that can be made again from the objects' JSON."""
        for stored in (self.old, self.new):
            if stored is not None:
                stored.shed()
        self._gone = self._memo = None
        self.encodings.clear()

    @property
    def memo(self) -> dict[Any, Any]:
        """What others derived from this event."""
        if self._memo is None:
            self._memo = {}
        return self._memo

    def carried(self, kind: EventType) -> Stored[T]:
        """The object that an event of this kind carries."""
        if kind == "DELETED" or self.new is None:
            return self.gone
        return self.new

    def __repr__(self) -> str:
        return f"<{self.type} {self.key} at {self.revision}>"
