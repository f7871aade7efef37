"""What is stored of a manifest is, field by field, what Kubernetes stores; the pairs say where that was read.

Set aside is what no two clusters share: uid, revisions, times, managers, addresses and ports that were chosen, and
(for pods) the service account, which a controller has to make first.
"""

from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from apimachinery import scheme
from tests.integration.apiserver.objects import created, name_of
from tests.kinds import certificate_request
from tests.unit.apiserver.registry.rows import ROWS

FOLDER = Path(__file__).parents[2] / "manifests" / "golden"
PAIRS = [pair for file in sorted(FOLDER.glob("*.yaml")) for pair in yaml.safe_load(file.read_text())]
NOBODYS = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "name", "namespace")
ACCOUNT = ("serviceAccount", "serviceAccountName")


def label(pair: dict[str, Any]) -> str:
    return f"{pair['manifest']['apiVersion'].replace('/', '.')}.{pair['manifest']['kind']}"


def filled(value: Any, words: dict[str, str]) -> Any:
    """A pair's document with the words in capitals replaced."""
    if isinstance(value, dict):
        return {key: filled(one, words) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(item, words) for item in value]
    return words.get(value, value) if isinstance(value, str) else value


def settled(stored: dict[str, Any], pair: dict[str, Any]) -> dict[str, Any]:
    """What was stored without what is set aside."""
    shown = {key: value for key, value in stored.items() if key not in ("apiVersion", "kind")}
    shown["metadata"] = {key: value for key, value in stored["metadata"].items() if key not in NOBODYS}
    spec, asked = shown.get("spec") or {}, pair["manifest"].get("spec") or {}
    if stored["kind"] == "Service":
        if spec.get("clusterIP", "None") != "None":
            spec["clusterIP"], spec["clusterIPs"] = "ADDRESS", ["ADDRESS" for _ in spec["clusterIPs"]]
        for port in spec.get("ports", ()):
            if "nodePort" in port:
                port["nodePort"] = "PORT"
    if stored["kind"] == "Pod":
        shown["spec"] = {key: value for key, value in spec.items() if key not in ACCOUNT or key in asked}
    return shown


def without_nulls(value: Any) -> Any:
    """Older versions write what is not there as null, newer ones leave it out."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("pair", PAIRS, ids=label)
async def test_what_is_stored_is_what_kubernetes_stores(api: httpx.AsyncClient, ns: str, pair: dict[str, Any]) -> None:
    namespace = name_of(ns)
    name = pair.get("name") or f"golden-{namespace}"
    document = filled(pair["manifest"], {"NAMESPACE": namespace, "REQUEST": certificate_request()})
    document["metadata"] = {"name": name}
    cls = scheme.type_of(document["apiVersion"], document["kind"])
    assert cls is not None
    resource = scheme.resource_of(cls)
    path = resource.path(namespace if resource.namespaced else None)
    stored = created(await api.post(path, json=document, params={"fieldValidation": "Strict"}))
    words = {"NAMESPACE": namespace, "NAME": name, "UID": stored["metadata"]["uid"]}
    words["REQUEST"] = certificate_request()
    try:
        assert without_nulls(settled(stored, pair)) == without_nulls(filled(pair["stored"], words))
    finally:
        await api.delete(f"{path}/{name}", params={"gracePeriodSeconds": "0"})


def test_every_kind_that_is_stored_has_a_pair() -> None:
    stored = {(row.resource.api_version, row.resource.kind) for row in ROWS if row.stored_kind is not None}
    known = {(pair["manifest"]["apiVersion"], pair["manifest"]["kind"]) for pair in PAIRS}
    same_objects = {("events.k8s.io/v1", "Event")}  # those of v1
    assert stored - known == same_objects
