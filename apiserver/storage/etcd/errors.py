"""What can go wrong with an etcd call, and the one place that reads gRPC codes and etcd's error texts.

EtcdError
  Unavailable        nothing was done: no endpoint answered, or the server refused before acting
  OutcomeUnknown     a write was sent and no answer came; it may or may not have happened
  TooLarge           the request is over etcd's --max-request-bytes
  TooManyOperations  the transaction is over etcd's --max-txn-ops
  Compacted          the revision that was asked for is no longer there
  FutureRevision     the revision that was asked for has not been reached
  NoSpace            the quota is used up; reads still work
  LeaseNotFound      the lease has ended; nothing was written
"""

import grpc


class EtcdError(Exception):
    """An etcd call that failed."""


class Unavailable(EtcdError):
    pass


class OutcomeUnknown(EtcdError):
    pass


class TooLarge(EtcdError):
    pass


class TooManyOperations(EtcdError):
    pass


class Compacted(EtcdError):
    pass


class FutureRevision(EtcdError):
    pass


class NoSpace(EtcdError):
    pass


class LeaseNotFound(EtcdError):
    pass


# etcd uses one gRPC code for several errors, so its texts (api/v3rpc/rpctypes/error.go) must be read.
_BY_TEXT: tuple[tuple[grpc.StatusCode, str, type[EtcdError]], ...] = (
    (grpc.StatusCode.OUT_OF_RANGE, "required revision has been compacted", Compacted),
    (grpc.StatusCode.OUT_OF_RANGE, "required revision is a future revision", FutureRevision),
    (grpc.StatusCode.INVALID_ARGUMENT, "request is too large", TooLarge),
    (grpc.StatusCode.INVALID_ARGUMENT, "too many operations in txn request", TooManyOperations),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "database space exceeded", NoSpace),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "message larger than max", TooLarge),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests", Unavailable),
    (grpc.StatusCode.NOT_FOUND, "requested lease not found", LeaseNotFound),
)

# The connection or the server went away at an unknown moment. UNKNOWN and INTERNAL are how a stream
# that the server's death reset is reported at times.
_LOST = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
    }
)


def translate(code: grpc.StatusCode, text: str, *, writes: bool) -> EtcdError:
    """The error for a gRPC status; ``writes`` says whether the call could have changed anything."""
    for known_code, known_text, kind in _BY_TEXT:
        if code is known_code and known_text in text:
            return kind(text)
    if code in _LOST:
        return OutcomeUnknown(text) if writes else Unavailable(text)
    return EtcdError(f"{code.name}: {text}")
