"""One request in the audit log: an Event of audit.k8s.io/v1 for each stage that it passes."""

import uuid
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from apimachinery import meta
from apiserver.audit.policy import Recording, Stage
from apiserver.request import Attributes, User

_ID_LIMIT: Final = 64  # characters of the Audit-ID header, as in Kubernetes
_MANAGED_FIELDS: Final = "managedFields"


class Sender(msgspec.Struct, frozen=True):
    """Where a request came from, and what it asked for in its own words."""

    uri: str
    address: str
    user_agent: str
    audit_id: str = ""
    """The client's own name of the request; one is made without it."""


class Record:
    """A request that is being recorded. ``annotations`` may be added to as long as it lasts."""

    def __init__(
        self, recording: Recording, attributes: Attributes, sender: Sender, as_user: User | None = None
    ) -> None:
        """``as_user``: who is impersonated; ``attributes.user`` is then the one who does it."""
        self._recording, self._stages = recording, set[Stage]()
        self.annotations: dict[str, str] = {}
        self._common: dict[str, Any] = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": recording.level,
            "auditID": sender.audit_id[:_ID_LIMIT] or str(uuid.uuid4()),
            "requestURI": sender.uri,
            "verb": attributes.verb,
            "user": _user(attributes.user),
            **({"impersonatedUser": _user(as_user)} if as_user is not None else {}),
            "sourceIPs": [sender.address],
            "userAgent": sender.user_agent,
            **({"objectRef": _reference(attributes)} if attributes.resource else {}),
            "requestReceivedTimestamp": meta.now_micro(),
        }

    @property
    def recording(self) -> Recording:
        return self._recording

    def event(
        self,
        stage: Stage,
        status: Mapping[str, Any] | None = None,
        request_object: bytes | None = None,
        response_object: bytes | None = None,
    ) -> bytes | None:
        """The line of a stage; None where the policy omits it, or it has been recorded.

        Args:
            status: code of the answer, with reason and message of a failure.
            request_object: JSON of the body.
            response_object: JSON of the answer.
        """
        if stage in self._recording.omitted_stages or stage in self._stages:
            return None
        self._stages.add(stage)
        document = {**self._common, "stage": stage, "stageTimestamp": meta.now_micro()}
        if status is not None:
            document["responseStatus"] = {"metadata": {}, **status}
        if request_object and self._recording.has_request:
            document["requestObject"] = self._body(request_object)
        if response_object and self._recording.has_response:
            document["responseObject"] = self._body(response_object)
        if self.annotations:
            document["annotations"] = self.annotations
        return msgspec.json.encode(document)

    def _body(self, data: bytes) -> Any:
        """JSON in JSON. Nothing of a body that is no JSON is recorded."""
        try:
            document = msgspec.json.decode(data)
        except msgspec.DecodeError:
            return None
        if self._recording.omits_managed_fields and isinstance(document, dict):
            _without_managed_fields(document)
            for item in document.get("items") or ():
                _without_managed_fields(item)
        return document


def _without_managed_fields(document: Any) -> None:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if isinstance(metadata, dict):
        metadata.pop(_MANAGED_FIELDS, None)


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
