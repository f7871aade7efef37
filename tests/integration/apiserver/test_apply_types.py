"""An apply patch whose fields are not what their kind has, beside what tools expect of Kubernetes."""

import json
from typing import Any

import httpx
import pytest

from tests.integration.apiserver.objects import created

APPLY = {"Content-Type": "application/apply-patch+yaml"}


async def applied(api: httpx.AsyncClient, ns: str, document: dict[str, Any], **query: str) -> httpx.Response:
    document = {"apiVersion": "v1", "kind": "ConfigMap", **document}
    params = {"fieldManager": "me", **query}
    return await api.patch(f"{ns}/configmaps/a", content=json.dumps(document), headers=APPLY, params=params)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"data": "x"}, ".data: must be an object, not a string"),
        ({"data": {"a": 1}}, ".data[...]: must be a string, not an integer"),
        ({"immutable": "yes"}, ".immutable: must be a boolean, not a string"),
        ({"metadata": {"labels": []}}, ".metadata.labels: must be an object, not an array"),
        ({"spec": {}}, ".spec: field not declared in schema"),
        ({"spec": {}, "x": 1}, "errors:\n  .spec: field not declared in schema\n  .x: field not declared in schema"),
    ],
)
@pytest.mark.parametrize("exists", [False, True], ids=["creating", "updating"])
async def test_a_field_of_a_wrong_type_is_no_typed_patch_object(
    api: httpx.AsyncClient, ns: str, document: dict[str, Any], why: str, exists: bool
) -> None:
    if exists:
        created(await applied(api, ns, {"data": {"k": "v"}}))
    for validation in ("Ignore", "Strict"):
        reply = await applied(api, ns, document, fieldValidation=validation)
        status = reply.json()
        place = f"{ns.rpartition('/')[2]}/a; v1, Kind=ConfigMap"
        assert (reply.status_code, status["message"]) == (500, f"failed to create typed patch object ({place}): {why}")
        assert "reason" not in status
