"""The documents that clients read: complete, consistent, and with what kubectl looks for."""

from typing import Any

import pytest

from apimachinery import codec
from apimachinery.schema import openapi
from apimachinery.schema.definitions import definitions

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
PODS = openapi.OpenAPIResource(
    "pods",
    "Pod",
    True,
    _VERBS,
    (
        openapi.OpenAPISubresource("status", "Pod", ("get", "patch", "update")),
        openapi.OpenAPISubresource("eviction", "Eviction", ("create",), ("policy", "v1")),
    ),
)
NODES = openapi.OpenAPIResource("nodes", "Node", False, _VERBS)
JOBS = openapi.OpenAPIResource("jobs", "Job", True, _VERBS)


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        refs = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return refs.union(*(references(member) for member in value.values()))
    return set().union(*(references(element) for element in value)) if isinstance(value, list) else set()


@pytest.fixture(scope="module")
def core() -> dict[str, Any]:
    return openapi.document("", "v1", [PODS, NODES])


def test_paths(core: dict[str, Any]) -> None:
    assert {path: sorted(set(item) - {"parameters"}) for path, item in core["paths"].items()} == {
        "/api/v1/namespaces/{namespace}/pods": ["delete", "get", "post"],
        "/api/v1/namespaces/{namespace}/pods/{name}": ["delete", "get", "patch", "put"],
        "/api/v1/namespaces/{namespace}/pods/{name}/status": ["get", "patch", "put"],
        "/api/v1/namespaces/{namespace}/pods/{name}/eviction": ["post"],
        "/api/v1/pods": ["get"],
        "/api/v1/nodes": ["delete", "get", "post"],
        "/api/v1/nodes/{name}": ["delete", "get", "patch", "put"],
    }


def test_kubectl_finds_that_patch_validates_fields(core: dict[str, Any]) -> None:
    """It looks for PATCH operations of the kind, their query parameters and their media types."""
    operation = core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert operation["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert operation["x-kubernetes-action"] == "patch"
    parameters = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"}
    assert parameters == {"dryRun", "fieldManager", "fieldValidation", "force"}
    assert set(operation["requestBody"]["content"]) == {
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    }


def test_every_reference_leads_somewhere(core: dict[str, Any]) -> None:
    schemas = core["components"]["schemas"]
    assert references(core) == {f"#/components/schemas/{name}" for name in schemas}


def test_schemas_carry_what_patches_need(core: dict[str, Any]) -> None:
    schemas = core["components"]["schemas"]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-patch-strategy"] == "merge"
    assert schemas["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"][0]["kind"] == "Pod"
    volumes = openapi.OpenAPIResource("persistentvolumes", "PersistentVolume", False, _VERBS)
    whole = openapi.overview([("", "v1", [volumes])])
    reference = whole["components"]["schemas"]["io.k8s.api.core.v1.PersistentVolumeSpec"]["properties"]["claimRef"]
    assert reference["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.core.v1.ObjectReference"}]
    assert reference["x-kubernetes-map-type"] == "granular"
    assert "$ref" not in reference


def test_operation_ids_are_unique() -> None:
    whole = openapi.overview([("", "v1", [PODS, NODES]), ("batch", "v1", [JOBS])])
    ids = [
        operation["operationId"]
        for item in whole["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
    ]
    assert len(ids) == len(set(ids)) == 27


def test_every_path_parameter_is_declared() -> None:
    for path, item in openapi.overview([("", "v1", [PODS, NODES])])["paths"].items():
        declared = {parameter["name"] for parameter in item["parameters"] if parameter["in"] == "path"}
        assert declared == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_the_index_names_each_document_with_its_hash() -> None:
    body = openapi.encoded("batch", "v1", [JOBS])
    assert openapi.index([("batch", "v1", body), ("", "v1", b"{}")]) == {
        "paths": {
            "apis/batch/v1": {"serverRelativeURL": f"/openapi/v3/apis/batch/v1?hash={openapi.document_hash(body)}"},
            "api/v1": {"serverRelativeURL": f"/openapi/v3/api/v1?hash={openapi.document_hash(b'{}')}"},
        }
    }
    assert openapi.document_hash(body) == openapi.document_hash(openapi.encoded("batch", "v1", [JOBS]))
    assert codec.parse(body)["openapi"] == "3.0.0"


def test_the_definitions_are_left_as_they_are(core: dict[str, Any]) -> None:
    assert "#/components/" not in str(definitions())
    assert core["components"]["schemas"]
