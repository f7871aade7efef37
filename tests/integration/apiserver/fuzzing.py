"""Requests made up from the API's own description: mostly in its spirit, some far from it.

Reads what the server publishes under ``/openapi/v3`` and nothing else of ours, except for putting a body into
protobuf. Objects get few names, so that requests meet each other's objects, and a server that keeps what it was
given cannot grow without end.
"""

import json
import struct
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx
import yaml

from apimachinery import errors
from apimachinery.schema import protobuf
from tests.integration.apiserver import objects
from tests.kinds import KINDS

Schema = dict[str, Any]
NAMESPACE = "fuzz"

_GVK = "x-kubernetes-group-version-kind"
_ODD_NAMES = ("b", "web.example.com", "UPPER", "%2e%2e", "%2e", "a b", "ü", "x" * 300)
_ODD_NAMESPACES = ("missing", "Wrong!", "default")
_ODD_VALUES = (
    "", "0", "1", "-1", "true", "All", "Strict", "é", "9" * 30, "a=b", "a in (b,c)", "!a", "a in (", ",", "=",
    "metadata.name=a", "status.phase!=Running", "spec.x=1", "a==b=c", "NotOlderThan", "Exact", "eyJ2IjoibWV0YSJ9",
)  # fmt: skip
_GOOD_VALUES = {
    "allowWatchBookmarks": ("true", "false"),
    "dryRun": ("All",),
    "fieldManager": ("fuzz", "other"),
    "fieldSelector": ("metadata.name=a", "metadata.namespace!=b"),
    "fieldValidation": ("Ignore", "Warn", "Strict"),
    "force": ("true",),
    "gracePeriodSeconds": ("0", "1", "30"),
    "labelSelector": ("a=b", "!a", "a notin (b,c)"),
    "limit": ("1", "500"),
    "orphanDependents": ("true", "false"),
    "pretty": ("true",),
    "propagationPolicy": ("Background", "Foreground", "Orphan"),
    "resourceVersion": ("0", "1"),
    "timeoutSeconds": ("1",),
    "watch": ("true",),
}
_ODD_MEDIA = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "text/plain", "")
_ODD_ACCEPT = (
    "*/*", "application/yaml", "application/vnd.kubernetes.protobuf", "text/html", ";;;",
    "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "application/json;as=No;v=v1;g=meta.k8s.io",
)  # fmt: skip
_WORDS = (
    "a", "b", "web.example.com", "1", "100m", "1Gi", "-1", "TCP", "Always", "10.1.2.3", "10.0.0.0/8", "/", "x=y", "",
    "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000006Z", "http", "*", "$(A)", "Ü", "\0", "v1", "apps/v1", "None",
    "x" * 70, "MQ==", "Exists", "In", "50%", "metadata.name",
)  # fmt: skip
_NUMBERS = (0, 1, 2, 80, 65535, 65536, -1, 2**31 - 1, 2**31, 2**63, 2**70, 0.5, -1e300)


@dataclass(frozen=True)
class Operation:
    """One method of one path of the description."""

    method: str
    path: str
    details: Schema
    schemas: Schema
    """What references in ``details`` lead to."""
    example: Schema
    """A small object of the kind that the server takes; empty where nobody has written one."""

    @property
    def kind(self) -> dict[str, str]:
        kind: dict[str, str] = self.details[_GVK]
        return kind

    @property
    def definition(self) -> str:
        """The name of the kind's schema; empty if there is none."""
        return next((name for name, schema in self.schemas.items() if self.kind in schema.get(_GVK, ())), "")

    @property
    def name(self) -> str:
        """What objects are called where that is free."""
        return str(self.example.get("metadata", {}).get("name", "a"))


_ELSEWHERE = ("attach", "exec", "log", "portforward", "proxy")
"""Subresources that nodes and pods answer. Made-up objects have made-up addresses: nothing may be sent there."""


async def operations(client: httpx.AsyncClient) -> list[Operation]:
    """All that the server answers itself, but for what would end the namespace that the others are in."""
    index = (await client.get("/openapi/v3")).json()["paths"]
    operations = []
    for place in index.values():
        document = (await client.get(place["serverRelativeURL"])).json()
        for path, item in document["paths"].items():
            for method, details in item.items():
                if method == "parameters" or _GVK not in details or (path, method) == ("/api/v1/namespaces", "delete"):
                    continue
                if not set(path.split("/")).isdisjoint(_ELSEWHERE):
                    continue
                schemas = document["components"]["schemas"]
                operations.append(Operation(method, path, details, schemas, _example(details[_GVK])))
    return operations


def _example(kind: dict[str, str]) -> Schema:
    for sample in KINDS:
        if (sample.group, sample.version, sample.kind) == (kind["group"], kind["version"], kind["kind"]):
            return {"metadata": {"name": sample.name}, **sample.body}
    if kind["group"]:
        return {}
    return objects.NAMESPACED.get(f"{kind['kind'].lower()}{'' if kind['kind'] == 'Endpoints' else 's'}", {})


def request(operation: Operation, random: Random) -> httpx.Request:
    """One request to ``http://server``."""
    name = random.choice(_ODD_NAMES) if _once_in(8, random) else operation.name
    namespace = random.choice(_ODD_NAMESPACES) if _once_in(8, random) else NAMESPACE
    path = operation.path.replace("{namespace}", namespace).replace("{name}", name)
    headers = {"Accept": random.choice(_ODD_ACCEPT) if _once_in(5, random) else "application/json"}
    content = b""
    if media := sorted(operation.details.get("requestBody", {}).get("content", ())):
        headers["Content-Type"] = random.choice(_ODD_MEDIA if _once_in(30, random) else media)
        content = _encoded(_Body(operation, random).make(), headers["Content-Type"], operation)
        if _once_in(30, random):
            content = content[: random.randrange(len(content) + 1)]
    return httpx.Request(
        operation.method.upper(),
        f"http://server{path}",
        params=_query(operation, random),
        headers=headers,
        content=content,
    )


def _query(operation: Operation, random: Random) -> dict[str, str]:
    known = [parameter["name"] for parameter in operation.details["parameters"] if parameter["in"] == "query"]
    chosen = random.sample(known, min(len(known), random.choice((0, 0, 1, 1, 2, 3))))
    query = {
        name: random.choice(_ODD_VALUES if _once_in(5, random) else _GOOD_VALUES.get(name, _ODD_VALUES))
        for name in chosen
    }
    if operation.method == "get":
        query["timeoutSeconds"] = "1"  # or a watch would go on for half an hour
    if operation.method == "patch":
        query.setdefault("fieldManager", "fuzz")
    return query


class _Body:
    """An object of the operation's kind, or for a patch a part of one; now and then something else entirely."""

    def __init__(self, operation: Operation, random: Random) -> None:
        self._operation, self._random = operation, random
        self._spoilt = random.choice((10, 60, 10**9))  # once in how many values one is of the wrong sort

    def make(self) -> Any:
        operation, random = self._operation, self._random
        drawn = self._value({"$ref": f"/{operation.definition}"} if operation.definition else {}, 6)
        if not isinstance(drawn, dict):
            return drawn
        version = "/".join(filter(None, (operation.kind["group"], operation.kind["version"])))
        typed: Schema = {"apiVersion": version, "kind": operation.kind["kind"]}
        if operation.method == "delete":
            return {**drawn, **typed}
        typed["metadata"] = {"name": operation.name if random.random() < 0.9 else "b"}
        if operation.method == "patch" or _once_in(4, random):
            return _merged(drawn, typed)
        good = _merged(operation.example, typed)
        return good if _once_in(3, random) else _merged(drawn, good)

    def _value(self, schema: Schema, depth: int) -> Any:
        if _once_in(self._spoilt, self._random):
            return self._anything()
        if "allOf" in schema:
            schema = schema["allOf"][0]
        if reference := schema.get("$ref"):
            schema = self._operation.schemas[reference.rpartition("/")[2]]
        if "properties" in schema:
            return self._object(schema, depth)
        match schema.get("type"):
            case "array":
                return [
                    self._value(schema["items"], depth - 1) for _ in range(self._random.randint(0, 2 if depth else 0))
                ]
            case "object":
                inner = schema.get("additionalProperties", {})
                count = self._random.randint(0, 2 if depth else 0)
                return {self._random.choice(_WORDS): self._value(inner, depth - 1) for _ in range(count)}
            case "string":
                return self._random.choice(_WORDS)
            case "integer" | "number":
                return self._random.choice(_NUMBERS[:5] if self._spoilt > 100 else _NUMBERS)
            case "boolean":
                return self._random.random() < 0.5
        return self._anything()

    def _object(self, schema: Schema, depth: int) -> Schema:
        required, properties = schema.get("required", ()), schema["properties"]
        optional = sorted(set(properties) - set(required) - {"apiVersion", "kind"})
        chosen = self._random.sample(optional, min(len(optional), self._random.randint(0, 3)))
        return {name: self._value(properties[name], depth - 1) for name in (*required, *chosen)} if depth else {}

    def _anything(self) -> Any:
        random = self._random
        words, numbers = random.choice(_WORDS), random.choice(_NUMBERS)
        return random.choice((None, True, words, numbers, [], {}, [numbers], {words: None}, [{words: words}], [[]]))


def _once_in(often: int, random: Random) -> bool:
    return random.randrange(often) == 0


def _merged(one: Schema, other: Schema) -> Schema:
    """Both, the other's where they meet."""
    merged = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            merged[key] = _merged(one[key], other[key])
    return merged


def _encoded(body: Any, media: str, operation: Operation) -> bytes:
    if media.endswith("json-patch+json") and isinstance(body, dict):
        body = [{"op": "replace", "path": f"/{key}", "value": value} for key, value in body.items()]
    if media.endswith("yaml"):
        return yaml.safe_dump(body, allow_unicode=True).encode()
    if media.endswith("protobuf") and isinstance(body, dict) and protobuf.has_message(operation.definition):
        try:
            return protobuf.encode(body, operation.definition, str(body.get("apiVersion")), str(body.get("kind")))
        except (errors.ApiError, ValueError, TypeError, AttributeError, OverflowError, struct.error):
            pass  # what has no place in a message goes as JSON, and is refused in another way
    return json.dumps(body).encode()
