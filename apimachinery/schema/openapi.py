"""The API described for clients: OpenAPI v3 documents, one per group version, made from the definitions.

kubectl reads there whether PATCH of a kind takes ``fieldValidation``, and the merge keys for its patches; people
read it on the docs page. Callers pass the resources that exist; documents are plain builtins.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from apimachinery import codec
from apimachinery.schema import descriptions
from apimachinery.schema.definitions import GVK, definition_name, definitions, target

Document = dict[str, Any]

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_OLD: Final = "#/definitions/"
_NEW: Final = "#/components/schemas/"
_BODIES: Final = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_REPLIES: Final = ("application/json", "application/yaml")
_PATCHES: Final = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)


@dataclass(frozen=True, slots=True)
class OpenAPISubresource:
    """``kind`` is what the subresource reads and writes; ``group_version`` is set if it differs from its parent's."""

    name: str
    kind: str
    verbs: Sequence[str]
    group_version: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class OpenAPIResource:
    """One resource of a group version. ``verbs`` are the API's words: get, list, watch, create, ..."""

    plural: str
    kind: str
    namespaced: bool
    verbs: Sequence[str]
    subresources: Sequence[OpenAPISubresource] = field(default=())


def root(group: str, version: str) -> str:
    """``api/v1`` or ``apis/apps/v1``: the path of a group version in the index."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def index(documents: Iterable[tuple[str, str, bytes]]) -> Document:
    """The body of ``/openapi/v3``, from (group, version, encoded document). With the hash in the URL clients can cache."""
    return {
        "paths": {
            root(group, version): {
                "serverRelativeURL": f"/openapi/v3/{root(group, version)}?hash={document_hash(body)}"
            }
            for group, version, body in documents
        }
    }


def document_hash(body: bytes) -> str:
    """Changes whenever the document does."""
    return hashlib.sha512(body).hexdigest()[:32].upper()


def document(group: str, version: str, resources: Sequence[OpenAPIResource]) -> Document:
    """The OpenAPI v3 document of one group version."""
    paths: Document = {}
    for resource in resources:
        paths.update(_paths(group, version, resource))
    return _document(f"Peapod {root(group, version)}", paths)


def overview(groups: Iterable[tuple[str, str, Sequence[OpenAPIResource]]]) -> Document:
    """All group versions in one document, for the page that people read."""
    paths: Document = {}
    for group, version, resources in groups:
        for resource in resources:
            paths.update(_paths(group, version, resource))
    return _document("Peapod", paths)


def _document(title: str, paths: Document) -> Document:
    return {
        "openapi": "3.0.0",
        "info": {"title": title, "version": "v1"},
        "paths": paths,
        "components": {
            "schemas": _schemas(paths),
            "securitySchemes": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}},
        },
    }


def _schemas(paths: Document) -> Document:
    """Every definition that the paths name, and what those refer to."""
    schemas: Document = {}
    words = descriptions.load()
    waiting = sorted(_references(paths, _NEW))
    while waiting:
        name = waiting.pop()
        if name in schemas:
            continue
        definition = definitions()[name]
        schemas[name] = _schema(words.described(name, definition))
        waiting += _references(definition, _OLD)
    return dict(sorted(schemas.items()))


def _references(value: Any, prefix: str) -> Iterator[str]:
    if isinstance(value, dict):
        ref = value.get("$ref")
        if isinstance(ref, str):
            yield ref.removeprefix(prefix)
        for member in value.values():
            yield from _references(member, prefix)
    elif isinstance(value, list):
        for element in value:
            yield from _references(element, prefix)


def _schema(value: Any) -> Any:
    """A definition in version 3's form: references have another path, and go into ``allOf`` if there are other keys."""
    if isinstance(value, list):
        return [_schema(element) for element in value]
    if not isinstance(value, dict):
        return value
    if (name := target(value)) is not None:
        reference = {"$ref": f"{_NEW}{name}"}
        rest = {key: member for key, member in value.items() if key != "$ref"}
        return {**rest, "allOf": [reference]} if rest else reference
    if value.get("format") == "int-or-string":
        return {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
    return {key: _schema(member) for key, member in value.items()}


def _paths(group: str, version: str, resource: OpenAPIResource) -> Iterator[tuple[str, Document]]:
    base = f"/{root(group, version)}"
    gvk = {"group": group, "version": version, "kind": resource.kind}
    scopes = [f"{base}/namespaces/{{namespace}}"] if resource.namespaced else [base]
    collection = _operations(gvk, resource, _COLLECTION, resource.verbs)
    for scope in scopes:
        parameters = [_path("namespace")] if resource.namespaced else []
        if collection:
            yield f"{scope}/{resource.plural}", _item(collection, parameters)
        named = [*parameters, _path("name")]
        if single := _operations(gvk, resource, _SINGLE, resource.verbs):
            yield f"{scope}/{resource.plural}/{{name}}", _item(single, named)
        for sub in resource.subresources:
            sub_group, sub_version = sub.group_version or (group, version)
            sub_gvk = {"group": sub_group, "version": sub_version, "kind": sub.kind}
            operations = _operations(sub_gvk, resource, _SUBRESOURCE, sub.verbs, suffix=sub.name)
            yield f"{scope}/{resource.plural}/{{name}}/{sub.name}", _item(operations, named)
    if resource.namespaced and "list" in resource.verbs:
        everywhere = _operations(gvk, resource, {"list": _COLLECTION["list"]}, ["list"], suffix="ForAllNamespaces")
        yield f"{base}/{resource.plural}", _item(everywhere, [])


def _item(operations: Document, parameters: list[Document]) -> Document:
    return {**operations, "parameters": [*parameters, _query("pretty")]}


# API verb -> HTTP method, x-kubernetes-action, query parameters
_Row = tuple[str, str, tuple[str, ...]]
_WRITE: Final = ("dryRun", "fieldManager", "fieldValidation")
_LIST: Final = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
_DELETE: Final = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_COLLECTION: Final[dict[str, _Row]] = {
    "list": ("get", "list", _LIST),
    "create": ("post", "post", _WRITE),
    "deletecollection": ("delete", "deletecollection", (*_LIST, *_DELETE)),
}
_SINGLE: Final[dict[str, _Row]] = {
    "get": ("get", "get", ()),
    "update": ("put", "put", _WRITE),
    "patch": ("patch", "patch", (*_WRITE, "force")),
    "delete": ("delete", "delete", _DELETE),
}
_SUBRESOURCE: Final[dict[str, _Row]] = {**_SINGLE, "create": ("post", "post", _WRITE)}


def _operations(
    gvk: dict[str, str], resource: OpenAPIResource, rows: dict[str, _Row], verbs: Sequence[str], suffix: str = ""
) -> Document:
    operations: Document = {}
    for verb, (method, action, parameters) in rows.items():
        if verb in verbs:
            operations[method] = _operation(gvk, resource, verb, action, parameters, suffix)
    return operations


def _operation(
    gvk: dict[str, str],
    resource: OpenAPIResource,
    verb: str,
    action: str,
    parameters: tuple[str, ...],
    suffix: str,
) -> Document:
    group = (gvk["group"].split(".")[0] or "core").capitalize()
    scope = "Namespaced" if resource.namespaced and suffix != "ForAllNamespaces" else ""
    tail = suffix if suffix == "ForAllNamespaces" else suffix.capitalize()
    name = definition_name(gvk["group"], gvk["version"], gvk["kind"])
    operation: Document = {
        "tags": [f"{group.lower()}_{gvk['version']}"],
        "description": _DESCRIPTIONS[verb].format(kind=gvk["kind"], plural=resource.plural)
        + (f" ({suffix})" if suffix else ""),
        "operationId": f"{verb}{group}{gvk['version'].capitalize()}{scope}{resource.kind}{tail}",
        "parameters": [_query(parameter) for parameter in parameters],
        "responses": _responses(name, verb),
        "x-kubernetes-action": action,
        GVK: gvk,
    }
    if body := _body(name, verb):
        operation["requestBody"] = body
    return operation


_DESCRIPTIONS: Final = {
    "get": "read the specified {kind}",
    "list": "list or watch objects of kind {kind}",
    "create": "create a {kind}",
    "update": "replace the specified {kind}",
    "patch": "partially update the specified {kind}",
    "delete": "delete a {kind}",
    "deletecollection": "delete a collection of {plural}",
}


def _reference(name: str | None) -> Document:
    return {"$ref": f"{_NEW}{name}"} if name else {"type": "object"}


def _responses(name: str | None, verb: str) -> Document:
    match verb:
        case "list":
            answer = f"{name}List" if f"{name}List" in definitions() else None
        case "deletecollection":
            answer = f"{_META}Status"
        case _:
            answer = name
    content = {media: {"schema": _reference(answer)} for media in _REPLIES}
    codes = {"create": ("200", "201", "202"), "update": ("200", "201"), "patch": ("200", "201")}
    if verb == "delete":
        codes["delete"] = ("200", "202")
    words = {"200": "OK", "201": "Created", "202": "Accepted"}
    answers: Document = {code: {"description": words[code], "content": content} for code in codes.get(verb, ("200",))}
    answers["401"] = {"description": "Unauthorized"}
    return answers


def _body(name: str | None, verb: str) -> Document | None:
    match verb:
        case "create" | "update":
            content = {media: {"schema": _reference(name)} for media in _BODIES}
            return {"required": True, "content": content}
        case "patch":
            return {
                "required": True,
                "content": {media: {"schema": _reference(f"{_META}Patch")} for media in _PATCHES},
            }
        case "delete" | "deletecollection":
            return {"content": {"application/json": {"schema": _reference(f"{_META}DeleteOptions")}}}
    return None


_INTEGERS: Final = {"limit", "timeoutSeconds", "gracePeriodSeconds"}
_BOOLEANS: Final = {"allowWatchBookmarks", "force", "orphanDependents", "sendInitialEvents", "watch"}
_PROSE: Final = {
    "allowWatchBookmarks": "whether the watch may send BOOKMARK events",
    "continue": "the token of the next page, from the previous one",
    "dryRun": "All: go through everything but the write",
    "fieldManager": "who owns the fields that this request sets",
    "fieldSelector": "restrict to objects whose fields match",
    "fieldValidation": "what unknown and duplicate fields cause: Ignore, Warn (the default) or Strict",
    "force": "take fields over from other managers (apply patches only)",
    "gracePeriodSeconds": "how long the object may take to go; 0 deletes at once",
    "labelSelector": "restrict to objects whose labels match",
    "limit": "the most objects to return at once",
    "orphanDependents": "deprecated: use propagationPolicy",
    "pretty": "whether to indent the answer",
    "propagationPolicy": "what happens to dependents: Orphan, Background or Foreground",
    "resourceVersion": "the revision to read at or watch from",
    "resourceVersionMatch": "how resourceVersion is meant: NotOlderThan or Exact",
    "sendInitialEvents": "begin a watch with what exists, then a bookmark",
    "timeoutSeconds": "how long the call may last",
    "watch": "stream changes instead of answering once",
}


def _query(name: str) -> Document:
    kind = "integer" if name in _INTEGERS else "boolean" if name in _BOOLEANS else "string"
    return {
        "name": name,
        "in": "query",
        "description": _PROSE[name],
        "schema": {"type": kind, "uniqueItems": True},
    }


def _path(name: str) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "uniqueItems": True}}


def encoded(group: str, version: str, resources: Sequence[OpenAPIResource]) -> bytes:
    """``document`` as JSON, as it is served and hashed."""
    return codec.encode(document(group, version, resources))
