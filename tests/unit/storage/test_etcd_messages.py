"""What etcd's answers and errors are read as."""

import grpc
import pytest
from aetcd.rpc import kv_pb2

from apiserver.storage.etcd import errors, requests
from apiserver.storage.etcd.watch import Change, Revision, group


@pytest.mark.parametrize(
    ("code", "text", "reads", "writes"),
    [
        # texts as etcd 3.4, 3.5 and gRPC send them
        ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted", errors.Compacted, None),
        ("OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision", errors.FutureRevision, None),
        ("INVALID_ARGUMENT", "etcdserver: request is too large", errors.TooLarge, None),
        ("INVALID_ARGUMENT", "etcdserver: too many operations in txn request", errors.TooManyOperations, None),
        ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", errors.NoSpace, None),
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", errors.Unavailable, None),
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (9 vs. 8)", errors.TooLarge, None),
        ("NOT_FOUND", "etcdserver: requested lease not found", errors.LeaseNotFound, None),
        ("UNAVAILABLE", "etcdserver: request timed out", errors.Unavailable, errors.OutcomeUnknown),
        ("UNAVAILABLE", "failed to connect to all addresses", errors.Unavailable, errors.OutcomeUnknown),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", errors.Unavailable, errors.OutcomeUnknown),
        ("INVALID_ARGUMENT", "etcdserver: duplicate key given in txn request", errors.EtcdError, None),
    ],
)
def test_errors_are_told_apart(code: str, text: str, reads: type, writes: type | None) -> None:
    status = grpc.StatusCode[code]
    assert type(errors.translate(status, text, writes=False)) is reads
    assert type(errors.translate(status, text, writes=True)) is (writes or reads)


def test_events_are_grouped_by_revision() -> None:
    def event(key: str, revision: int, *, deleted: bool = False) -> kv_pb2.Event:
        kind = kv_pb2.Event.DELETE if deleted else kv_pb2.Event.PUT
        return kv_pb2.Event(type=kind, kv=kv_pb2.KeyValue(key=key.encode(), value=b"v", mod_revision=revision))

    assert group([event("a", 3), event("b", 3, deleted=True), event("a", 4)]) == [
        Revision(3, [Change("a", b"v"), Change("b", None)]),
        Revision(4, [Change("a", b"v")]),
    ]
    assert group([]) == []


def test_the_end_of_a_prefix_follows_all_its_keys() -> None:
    assert requests.prefix_end("/registry/") == "/registry0"
