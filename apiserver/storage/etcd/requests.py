"""etcd's messages as values of ours: ranges, and the parts a transaction is made of.

Keys are text here and bytes on the wire. Etcd orders keys by bytes, which for UTF-8 is the order of ``str``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from aetcd.rpc import rpc_pb2

Operation = Any  # a RequestOp
Condition = Any  # a Compare


class KeyValue(NamedTuple):
    key: str
    value: bytes
    revision: int  # of the last write to the key (etcd's mod revision)
    version: int  # how many writes since the key was created


class Range(NamedTuple):
    """Part of the key space at one moment."""

    items: list[KeyValue]
    more: bool  # whether the limit cut it short
    total: int  # how many keys there are without the limit
    revision: int  # etcd's own at the time of the read


class Outcome(NamedTuple):
    """What a transaction did."""

    succeeded: bool
    revision: int  # the one it made, or etcd's own if it changed nothing
    reads: list[list[KeyValue]]  # one per ``read`` of the branch that was taken


def text(key: bytes) -> str:
    """A key as text; one that is no UTF-8 (none of ours) survives the way there and back."""
    return key.decode(errors="surrogateescape")


def raw(key: str) -> bytes:
    return key.encode(errors="surrogateescape")


def prefix_end(prefix: str) -> str:
    """The first key after all that begin with ``prefix``."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def absent(key: str) -> Condition:
    return unchanged(key, 0)


def unchanged(key: str, revision: int) -> Condition:
    """The key's last write was ``revision``; 0 means that it does not exist."""
    return rpc_pb2.Compare(
        key=raw(key), target=rpc_pb2.Compare.MOD, result=rpc_pb2.Compare.EQUAL, mod_revision=revision
    )


def at_version(key: str, version: int) -> Condition:
    return rpc_pb2.Compare(key=raw(key), target=rpc_pb2.Compare.VERSION, result=rpc_pb2.Compare.EQUAL, version=version)


def holds(key: str, value: bytes) -> Condition:
    return rpc_pb2.Compare(key=raw(key), target=rpc_pb2.Compare.VALUE, result=rpc_pb2.Compare.EQUAL, value=value)


def put(key: str, value: bytes, lease: int = 0) -> Operation:
    return rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=raw(key), value=value, lease=lease))


def delete(key: str) -> Operation:
    return rpc_pb2.RequestOp(request_delete_range=rpc_pb2.DeleteRangeRequest(key=raw(key)))


def read(key: str, *, keys_only: bool = False) -> Operation:
    return rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=raw(key), keys_only=keys_only))


def when(condition: Condition, operation: Operation) -> Operation:
    """An operation that happens only under a condition, within the same transaction."""
    return rpc_pb2.RequestOp(request_txn=rpc_pb2.TxnRequest(compare=[condition], success=[operation]))


def transaction(conditions: Sequence[Condition], then: Sequence[Operation], otherwise: Sequence[Operation]) -> Any:
    return rpc_pb2.TxnRequest(compare=conditions, success=then, failure=otherwise)


def outcome_of(response: Any) -> Outcome:
    reads = [
        key_values(answer.response_range.kvs)
        for answer in response.responses
        if answer.WhichOneof("response") == "response_range"
    ]
    return Outcome(response.succeeded, response.header.revision, reads)


def key_values(kvs: Any) -> list[KeyValue]:
    return [KeyValue(text(kv.key), kv.value, kv.mod_revision, kv.version) for kv in kvs]
