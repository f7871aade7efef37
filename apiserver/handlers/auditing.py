"""What the audit log learns of a request and of its answer."""

from functools import partial
from typing import Final

from apimachinery import errors
from apiserver.audit import Auditor, Record, Sender
from apiserver.audit.record import BODY_LIMIT
from apiserver.handlers.body import as_json, media_type
from apiserver.handlers.http import Request
from apiserver.handlers.negotiation import JSON
from apiserver.request import Attributes

_DECISION: Final = "authorization.k8s.io/decision"
_CLIENT_GONE: Final = 499  # nginx's code for a client that left before it had an answer
_URI_LIMIT: Final = 8192
"""Characters of a path and query that are recorded."""


def begin(request: Request, attributes: Attributes, auditor: Auditor) -> None:
    """Record a request that has come, if the policy asks for it."""

    def sender() -> Sender:
        # what is behind a proxy may have its tokens in the query
        query = b"" if attributes.subresource == "proxy" else request.scope["query_string"]
        client = request.scope.get("client")
        return Sender(
            uri=(request.path + (f"?{query.decode('latin-1')}" if query else ""))[:_URI_LIMIT],
            address=client[0] if client else "",
            user_agent=request.headers.get("user-agent", ""),
            audit_id=request.headers.get("audit-id", ""),
        )

    request.record = record = auditor.begin(attributes, sender)
    if record is not None:
        request.keeps_bodies = record.recording.has_request
        if attributes.verb == "watch" or attributes.subresource in ("attach", "exec", "log", "portforward", "proxy"):
            request.when_started = partial(_started, record)


def allowed(record: Record) -> None:
    """The request has passed the authorizer."""
    record.annotations[_DECISION] = "allow"


def _started(record: Record, code: int) -> None:
    record.status["code"] = code
    record.emit("ResponseStarted")


def complete(record: Record, request: Request) -> None:
    """The answer has ended."""
    record.status["code"] = request.code or _CLIENT_GONE
    if (error := request.failure) is not None:
        record.status.update(status="Failure", reason=error.reason, message=error.message)
        if isinstance(error, errors.Forbidden):
            record.annotations.setdefault(_DECISION, "forbid")
    if record.recording.has_request:
        record.request_object = _json(media_type(request), request.sent_body)
    if record.recording.has_response:
        record.response_object = _json(*request.answer)
    record.emit("ResponseComplete")


def _json(content_type: str, body: bytes) -> bytes | None:
    """A body as JSON; None if it is none, or so large that it would take its time."""
    if not body or len(body) > BODY_LIMIT or content_type == JSON:
        return body or None
    try:
        return as_json(content_type, body)[0]
    except errors.ApiError:
        return body if "json" in content_type else None
