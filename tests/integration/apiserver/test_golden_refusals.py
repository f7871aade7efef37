"""What Kubernetes refuses is refused with its fields and its words; the pairs say where those were read."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from apimachinery import scheme
from tests.integration.apiserver.objects import created, name_of

FOLDER = Path(__file__).parents[2] / "manifests" / "golden" / "refused"
PAIRS = [pair for file in sorted(FOLDER.glob("*.yaml")) for pair in yaml.safe_load(file.read_text())]


def label(pair: dict[str, Any]) -> str:
    return str(pair["manifest"]["kind"])


def without_value(cause: str) -> str:
    """A cause whose value, an object or a list, is not compared."""
    return re.sub(r"Invalid value: .*[]}]: ", "Invalid value: ...: ", cause)


@pytest.mark.parametrize("pair", PAIRS, ids=label)
async def test_what_kubernetes_refuses_is_refused_in_its_words(
    api: httpx.AsyncClient, ns: str, pair: dict[str, Any]
) -> None:
    document = {"metadata": {"name": pair.get("name", "a")}, **pair["manifest"]}
    cls = scheme.type_of(document["apiVersion"], document["kind"])
    assert cls is not None
    resource = scheme.resource_of(cls)
    path = resource.path(name_of(ns) if resource.namespaced else None)
    reply = await api.post(path, json=document)
    if "patch" in pair:
        created(reply)
        path = f"{path}/{document['metadata']['name']}"
        reply = await api.patch(path, json=pair["patch"], headers={"Content-Type": "application/merge-patch+json"})
        await api.delete(path)
    status = reply.json()
    assert (reply.status_code, status.get("reason")) == (422, "Invalid"), reply.text
    causes = [f"{cause['field']}: {cause['message']}" for cause in status["details"]["causes"]]
    expected = sorted(pair["causes"])
    shown = sorted(causes)
    assert [
        without_value(cause) if "..." in other else cause for cause, other in zip(shown, expected, strict=False)
    ] == expected
    assert len(shown) == len(expected)
    group = f".{resource.group}" if resource.group else ""
    listed = f"[{', '.join(causes)}]" if len(causes) > 1 else causes[0]
    assert status["message"] == f'{resource.kind}{group} "{document["metadata"]["name"]}" is invalid: {listed}'
