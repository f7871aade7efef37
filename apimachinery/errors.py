"""The errors of the API, on the server and in its clients.

    ApiError
      BadRequest 400   Unauthorized 401   Forbidden 403   NotFound 404   MethodNotAllowed 405
      NotAcceptable 406   AlreadyExists 409   Conflict 409   Expired 410   RequestEntityTooLarge 413
      UnsupportedMediaType 415   Invalid 422   TooManyRequests 429
      InternalError 500   ServiceUnavailable 503   Timeout 504   TooLargeResourceVersion 504

The apiserver raises them and writes ``status()``; the client reads a Status with ``from_status`` and
raises the same class again.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec

from apimachinery.fields import FieldError
from apimachinery.types.meta_v1 import ListMeta, Status, StatusCause, StatusDetails


class ApiError(Exception):
    """A request that failed; ``details`` names what it was about."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(self, message: str, *, details: StatusDetails | None = None, retry_after: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.retry_after = retry_after

    def status(self) -> Status:
        """The error as the wire has it."""
        details = self.details
        if self.retry_after:
            details = msgspec.structs.replace(details or StatusDetails(), retry_after_seconds=self.retry_after)
        return Status(
            kind="Status",
            api_version="v1",
            metadata=ListMeta(),
            status="Failure",
            message=self.message,
            reason=self.reason or None,
            details=details,
            code=self.code,
        )


class BadRequest(ApiError):
    code = 400
    reason = "BadRequest"


class Unauthorized(ApiError):
    code = 401
    reason = "Unauthorized"


class Forbidden(ApiError):
    code = 403
    reason = "Forbidden"


class NotFound(ApiError):
    code = 404
    reason = "NotFound"


class MethodNotAllowed(ApiError):
    code = 405
    reason = "MethodNotAllowed"


class NotAcceptable(ApiError):
    code = 406
    reason = "NotAcceptable"


class AlreadyExists(ApiError):
    code = 409
    reason = "AlreadyExists"


class Conflict(ApiError):
    code = 409
    reason = "Conflict"


class Expired(ApiError):
    """A revision that is gone; ``continue_`` is a token with which a list can continue at a newer one."""

    code = 410
    reason = "Expired"

    def __init__(
        self, message: str, *, details: StatusDetails | None = None, retry_after: int = 0, continue_: str = ""
    ) -> None:
        super().__init__(message, details=details, retry_after=retry_after)
        self.continue_ = continue_

    def status(self) -> Status:
        status = super().status()
        if self.continue_:
            status.metadata = ListMeta(continue_=self.continue_)
        return status


class RequestEntityTooLarge(ApiError):
    code = 413
    reason = "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code = 415
    reason = "UnsupportedMediaType"


class Invalid(ApiError):
    code = 422
    reason = "Invalid"


class TooManyRequests(ApiError):
    code = 429
    reason = "TooManyRequests"


class InternalError(ApiError):
    code = 500
    reason = "InternalError"


class ServiceUnavailable(ApiError):
    code = 503
    reason = "ServiceUnavailable"


class Timeout(ApiError):
    code = 504
    reason = "Timeout"


class TooLargeResourceVersion(Timeout):
    """A version that the server has not reached: it lags behind, or its data are older ones, restored from a copy.

    On the wire it is a Timeout with a cause.
    """

    cause: Final = "ResourceVersionTooLarge"

    def __init__(self, message: str, *, details: StatusDetails | None = None, retry_after: int = 1) -> None:
        if details is None:
            cause = StatusCause(reason=self.cause, message="Too large resource version")
            details = StatusDetails(causes=[cause])
        super().__init__(message, details=details, retry_after=retry_after)


_BY_REASON = {
    cls.reason: cls
    for cls in (
        BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists, Conflict,
        Expired, RequestEntityTooLarge, UnsupportedMediaType, Invalid, TooManyRequests, InternalError,
        ServiceUnavailable, Timeout,
    )
}  # fmt: skip
_BY_CODE = {cls.code: cls for cls in reversed(_BY_REASON.values()) if cls is not AlreadyExists}


def from_status(code: int, body: bytes, retry_after: int = 0) -> ApiError:
    """The error that a reply with HTTP status ``code`` reports; ``body`` need not be a Status."""
    try:
        status = msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError:
        status = Status(message=body[:1024].decode(errors="replace").strip() or f"HTTP status {code}")
    known = _BY_REASON.get(status.reason or "") or _BY_CODE.get(code) or ApiError
    causes = (status.details.causes if status.details else None) or ()
    if known is Timeout and any(cause.reason == TooLargeResourceVersion.cause for cause in causes):
        known = TooLargeResourceVersion
    after = (status.details.retry_after_seconds if status.details else 0) or retry_after
    return known(status.message or f"HTTP status {code}", details=status.details, retry_after=after)


def too_large_resource_version(version: int, current: int) -> TooLargeResourceVersion:
    return TooLargeResourceVersion(f"Too large resource version: {version}, current: {current}")


def _named(kind: str, group: str, name: str) -> StatusDetails:
    return StatusDetails(name=name or None, group=group or None, kind=kind or None)


def _resource(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def not_found(plural: str, group: str, name: str) -> NotFound:
    return NotFound(f'{_resource(plural, group)} "{name}" not found', details=_named(plural, group, name))


def already_exists(plural: str, group: str, name: str) -> AlreadyExists:
    return AlreadyExists(f'{_resource(plural, group)} "{name}" already exists', details=_named(plural, group, name))


def conflict(plural: str, group: str, name: str, why: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on {_resource(plural, group)} "{name}": {why}',
        details=_named(plural, group, name),
    )


def forbidden(plural: str, group: str, name: str, why: str) -> Forbidden:
    """About an object; with an empty name about a collection, and with an empty plural about a path."""
    subject = f"{_resource(plural, group)} " if plural else ""
    subject += f'"{name}" ' if name else ""
    return Forbidden(f"{subject}{'is ' if subject else ''}forbidden: {why}", details=_named(plural, group, name))


def invalid(kind: str, group: str, name: str, faults: Sequence[FieldError]) -> Invalid:
    """All the faults of one object at once, each also as a cause."""
    text = str(faults[0]) if len(faults) == 1 else f"[{', '.join(map(str, faults))}]"
    details = _named(kind, group, name)
    details.causes = [StatusCause(reason=fault.reason, message=fault.detail, field=fault.field) for fault in faults]
    subject = f"{kind}.{group}" if group else kind
    return Invalid(f'{subject} "{name}" is invalid: {text}', details=details)


def is_namespace_terminating(error: ApiError) -> bool:
    """Whether an object was not created because its namespace is being deleted, with all that is in it."""
    causes = (error.details.causes if error.details else None) or ()
    return isinstance(error, Forbidden) and any(cause.reason == "NamespaceTerminating" for cause in causes)
