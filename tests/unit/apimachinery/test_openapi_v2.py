"""The OpenAPI v2 document, and its protobuf form."""

from typing import Any

from apimachinery.schema import gnostic, openapi_v2
from apimachinery.schema.openapi import OpenAPIResource

PODS = OpenAPIResource("pods", "Pod", True, ("get", "list", "create", "update", "patch", "delete"))


def document() -> dict[str, Any]:
    return openapi_v2.document([("", "v1", [PODS])])


def test_patch_says_what_it_takes() -> None:
    patch = document()["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    names = {parameter["name"] for parameter in patch["parameters"]}
    assert {"dryRun", "fieldValidation", "body"} <= names
    assert "application/strategic-merge-patch+json" in patch["consumes"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "kind": "Pod", "version": "v1"}


def test_protobuf_and_json_agree() -> None:
    expected = document()
    message: Any = gnostic._classes()["Document"].FromString(gnostic.encode(expected))
    assert message.swagger == "2.0"
    definitions = {property.name: property.value for property in message.definitions.properties}
    assert set(definitions) == set(expected["definitions"])
    spec = {
        property.name: property.value for property in definitions["io.k8s.api.core.v1.PodSpec"].properties.properties
    }
    containers = spec["containers"]
    assert list(containers.type.value) == ["array"]
    assert containers.items.schema[0].ref == "#/definitions/io.k8s.api.core.v1.Container"
    assert {extension.name: extension.value.yaml.strip() for extension in containers.extensions}[
        "x-kubernetes-patch-merge-key"
    ] == '"name"'
    assert spec["nodeSelector"].additionalProperties.schema.type.value[0] == "string"
    assert len(message.paths.path) == len(expected["paths"])
    for path in message.paths.path:
        for method in ("get", "put", "post", "patch", "delete"):
            assert path.value.HasField(method) == (method in expected["paths"][path.name])
