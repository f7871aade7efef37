"""The API described: OpenAPI v3 and v2 for clients, a page for people. All are made from the resource table."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

from apimachinery import codec, errors
from apimachinery.schema import gnostic, openapi, openapi_v2
from apimachinery.schema.openapi import OpenAPIResource, OpenAPISubresource
from apimachinery.types.objects import KubeObject
from apiserver.handlers.http import JSON, Request
from apiserver.registry.resource import ResourceInfo
from apiserver.registry.resources import GroupVersion, Resources

_ROOT: Final = "openapi/v3"
_V2: Final = ("openapi/v2", "swagger-2.0.0.pb-v1")


class OpenAPI:
    """Documents are encoded once per group version: they are large, and every ``kubectl apply`` reads them."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._encoded: dict[str, _Encoded] = {}

    async def serve(self, request: Request) -> None:
        """Answer ``/openapi/v3`` and the documents that it lists, and ``/openapi/v2``."""
        path = request.path.strip("/")
        if path in _V2:
            await self._serve_v2(request)
            return
        if path == _ROOT:
            versions = self._resources.versions()
            documents = [(version.group, version.version, self._document(version).body) for version in versions]
            await request.respond(200, codec.encode(openapi.index(documents)))
            return
        for version in self._resources.versions():
            if path == f"{_ROOT}/{version.path}":
                document = self._document(version)
                await request.respond(200, document.body, memo=document.memo)
                return
        raise errors.NotFound("the server could not find the requested resource")

    def _document(self, version: GroupVersion) -> "_Encoded":
        served = sorted(version.served)
        document = self._encoded.get(version.path)
        if document is None or document.served != served:
            body = openapi.encoded(version.group, version.version, [_row(info) for info in version.infos])
            document = self._encoded[version.path] = _Encoded(served, body)
        return document

    async def _serve_v2(self, request: Request) -> None:
        """As JSON, or in protobuf for those who ask for it: old versions of kubectl read nothing else."""
        protobuf = gnostic.MEDIA_TYPE in request.headers.get("accept", "") or request.path.endswith(".pb-v1")
        name, served = f"v2 {protobuf}", sorted(served.info.definition for served in self._resources)
        encoded = self._encoded.get(name)
        if encoded is None or encoded.served != served:
            document = openapi_v2.document(self._groups())
            body = gnostic.encode(document) if protobuf else codec.encode(document)
            encoded = self._encoded[name] = _Encoded(served, body)
        await request.respond(200, encoded.body, gnostic.ANSWERED_TYPE if protobuf else JSON, encoded.memo)

    def _groups(self) -> Iterator[tuple[str, str, list[OpenAPIResource]]]:
        for version in self._resources.versions():
            yield version.group, version.version, [_row(info) for info in version.infos]

    def overview(self) -> dict[str, Any]:
        """One document of everything, for tools that want a single one."""
        return openapi.overview(self._groups())

    def page(self) -> str:
        """Every path and what it is for, as a page that needs nothing from elsewhere."""
        rows = []
        for path, item in sorted(self.overview()["paths"].items()):
            for method, operation in item.items():
                if isinstance(operation, dict) and "responses" in operation:
                    what = operation.get("summary") or operation.get("description") or ""
                    cells = (method.upper(), path, what)
                    rows.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
        return _PAGE.format(count=len(rows), rows="\n".join(f"<tr>{row}</tr>" for row in rows))


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A document, of the resources that were served when it was made, and its compressed form."""

    served: list[str]
    body: bytes
    memo: dict[str, bytes] = field(default_factory=dict)


def _row(info: ResourceInfo[KubeObject]) -> OpenAPIResource:
    resource, subresources = info.resource, []
    for name, subresource in sorted(info.subresources.items()):
        group, version, kind = subresource.discovered(resource)
        foreign = (group, version) if (group, version) != (resource.group, resource.version) else None
        subresources.append(OpenAPISubresource(name, kind, subresource.verbs, foreign))
    return OpenAPIResource(resource.plural, resource.kind, resource.namespaced, info.verbs, subresources)


_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Peapod API</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
td {{ border-top: 1px solid #ddd; padding: .25rem .75rem .25rem 0; vertical-align: top }}
td:nth-child(1) {{ font-weight: 600 }}
td:nth-child(2) {{ font-family: ui-monospace, monospace; overflow-wrap: anywhere }}
</style>
<h1>Peapod API</h1>
<p>{count} operations. For programs: <a href="/openapi/v3">/openapi/v3</a>, <a href="/openapi.json">/openapi.json</a>,
<a href="/api">/api</a> and <a href="/apis">/apis</a>.</p>
<table>
{rows}
</table>
"""
