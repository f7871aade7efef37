"""One request in the audit log: an Event of audit.k8s.io/v1 for each stage that it passes."""

import uuid
from collections.abc import Callable
from typing import Any, Final

import msgspec

from apimachinery import meta
from apiserver.audit.policy import Recording, Stage
from apiserver.request import Attributes, User

_ID_LIMIT: Final = 64  # characters of the Audit-ID header, as in Kubernetes
BODY_LIMIT: Final = 100 * 1024
"""Bytes; larger bodies are left out, as by ``--audit-log-truncate-enabled`` in Kubernetes, since they take their time."""
_TRUNCATED: Final = "audit.k8s.io/truncated"


class Sender(msgspec.Struct, frozen=True):
    """Where a request came from, and what it asked for in its own words."""

    uri: str
    address: str
    user_agent: str
    audit_id: str = ""
    """The client's own name of the request; one is made without it."""


class Record:
    """A request that is being recorded. What is learned of it is written into ``annotations`` and the attributes below
    as long as it lasts."""

    def __init__(
        self, recording: Recording, attributes: Attributes, sender: Sender, write: Callable[[bytes], None]
    ) -> None:
        self.recording = recording
        self._write, self._stages = write, set[Stage]()
        self.annotations = attributes.remarks.annotations
        self.status: dict[str, Any] = {}
        """The answer's code; of a failure its reason and message as well."""
        self.request_object: bytes | None = None
        """JSON of the body."""
        self.response_object: bytes | None = None
        """JSON of the answer."""
        self._event: dict[str, Any] = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": recording.level,
            "auditID": sender.audit_id[:_ID_LIMIT] or str(uuid.uuid4()),
            "requestURI": sender.uri,
            "verb": attributes.verb,
            "user": _user(attributes.user),
            "sourceIPs": [sender.address],
            "userAgent": sender.user_agent,
            **({"objectRef": _reference(attributes)} if attributes.resource else {}),
            "requestReceivedTimestamp": meta.now_micro(),
        }

    def impersonates(self, user: User) -> None:
        self._event["impersonatedUser"] = _user(user)

    def emit(self, stage: Stage) -> None:
        """Write the line of a stage, unless the policy omits it, or it is written already."""
        if stage in self.recording.omitted_stages or stage in self._stages:
            return
        self._stages.add(stage)
        event = {**self._event, "stage": stage, "stageTimestamp": meta.now_micro()}
        if self.status:
            event["responseStatus"] = {"metadata": {}, **self.status}
        if self.request_object is not None and self.recording.has_request:
            event["requestObject"] = self._body(self.request_object)
        if self.response_object is not None and self.recording.has_response:
            event["responseObject"] = self._body(self.response_object)
        if self.annotations:
            event["annotations"] = self.annotations
        self._write(msgspec.json.encode(event))

    def _body(self, data: bytes) -> Any:
        """JSON in JSON. Nothing of a body that is no JSON, or too large, is recorded."""
        if len(data) > BODY_LIMIT:
            self.annotations[_TRUNCATED] = "true"
            return None
        try:
            document = msgspec.json.decode(data)
        except msgspec.DecodeError:
            return None
        if self.recording.omits_managed_fields and isinstance(document, dict):
            for item in (document, *(document.get("items") or ())):
                _drop_managed_fields(item)
        return document


def _drop_managed_fields(document: Any) -> None:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)


def _user(user: User) -> dict[str, Any]:
    return {
        "username": user.name,
        **({"uid": user.uid} if user.uid else {}),
        **({"groups": user.groups} if user.groups else {}),
        **({"extra": user.extra} if user.extra else {}),
    }


def _reference(attributes: Attributes) -> dict[str, str]:
    reference = {
        "resource": attributes.resource,
        "namespace": attributes.namespace,
        "name": attributes.name,
        "apiGroup": attributes.group,
        "apiVersion": attributes.version,
        "subresource": attributes.subresource,
    }
    return {key: value for key, value in reference.items() if value}
