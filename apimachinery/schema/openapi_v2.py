"""The API as one OpenAPI v2 (swagger) document, which older clients read: kubectl before 1.24 validates with it.

Made from the version 3 paths, so that both agree; the definitions are the published ones with descriptions.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from apimachinery.schema import descriptions
from apimachinery.schema.definitions import definitions
from apimachinery.schema.openapi import Document, OpenAPIResource, overview

_NEW: Final = "#/components/schemas/"
_OLD: Final = "#/definitions/"
_METHODS: Final = ("get", "put", "post", "delete", "patch")
_PRODUCED: Final = ["application/json", "application/yaml"]


def document(groups: Iterable[tuple[str, str, Sequence[OpenAPIResource]]]) -> Document:
    """The document of all group versions: (group, version, resources)."""
    newer = overview(groups)
    words = descriptions.load()
    return {
        "swagger": "2.0",
        "info": newer["info"],
        "paths": {path: _item(item) for path, item in sorted(newer["paths"].items())},
        "definitions": {name: words.described(name, definition) for name, definition in sorted(definitions().items())},
    }


def _item(item: Document) -> Document:
    older: Document = {"parameters": [_parameter(parameter) for parameter in item["parameters"]]}
    for method in _METHODS:
        if method in item:
            older[method] = _operation(item[method])
    return older


def _operation(operation: Document) -> Document:
    body = operation.get("requestBody")
    older = {key: value for key, value in operation.items() if key not in ("requestBody", "parameters", "responses")}
    older["produces"] = _PRODUCED
    older["consumes"] = list(body["content"]) if body else ["*/*"]
    older["parameters"] = [_parameter(parameter) for parameter in operation["parameters"]]
    if body:
        schema = _schema(next(iter(body["content"].values())))
        older["parameters"].append({"name": "body", "in": "body", "required": True, "schema": schema})
    older["responses"] = {code: _response(response) for code, response in operation["responses"].items()}
    return older


def _parameter(parameter: Document) -> Document:
    schema = parameter["schema"]
    older = {key: value for key, value in parameter.items() if key != "schema"}
    return {**older, "type": schema["type"], "uniqueItems": True}


def _response(response: Document) -> Document:
    older: Document = {"description": response["description"]}
    if content := response.get("content"):
        older["schema"] = _schema(next(iter(content.values())))
    return older


def _schema(media: Document) -> Any:
    schema = media["schema"]
    return {"$ref": schema["$ref"].replace(_NEW, _OLD)} if "$ref" in schema else schema
