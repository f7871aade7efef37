"""The API described: OpenAPI v3 and v2 for clients, a page for people. All are made from the resource table."""

from collections.abc import Iterator
from html import escape
from typing import Any, Final

from apimachinery import codec, errors
from apimachinery.schema import gnostic, openapi, openapi_v2
from apimachinery.schema.openapi import OpenAPIResource, OpenAPISubresource
from apiserver.handlers.http import JSON, Request
from apiserver.handlers.table import GroupVersion, ResourceTable
from apiserver.registry.resource import ResourceInfo

_ROOT: Final = "openapi/v3"
_V2: Final = ("openapi/v2", "swagger-2.0.0.pb-v1")


class OpenAPI:
    """Documents are encoded once per group version; they are large and asked for by every ``kubectl apply``."""

    def __init__(self, table: ResourceTable) -> None:
        self._table = table
        self._encoded: dict[str, tuple[tuple[str, ...], bytes, dict[Any, Any]]] = {}

    async def serve(self, request: Request) -> None:
        """Answer ``/openapi/v3`` and the documents that it lists, and ``/openapi/v2``."""
        path = request.path.strip("/")
        if path in _V2:
            await self._serve_v2(request)
            return
        if path == _ROOT:
            documents = [(one.group, one.version, self._document(one)[0]) for one in self._table.versions()]
            await request.respond(200, codec.encode(openapi.index(documents)))
            return
        for one in self._table.versions():
            if path == f"{_ROOT}/{one.path}":
                body, memo = self._document(one)
                await request.respond(200, body, memo=memo)
                return
        raise errors.NotFound("the server could not find the requested resource")

    def _document(self, version: GroupVersion) -> tuple[bytes, dict[Any, Any]]:
        served = tuple(sorted(version.stores))
        kept = self._encoded.get(version.path)
        if kept is None or kept[0] != served:
            rows = [_row(info) for info in version.infos]
            kept = (served, openapi.encoded(version.group, version.version, rows), {})
            self._encoded[version.path] = kept
        return kept[1], kept[2]

    async def _serve_v2(self, request: Request) -> None:
        """As JSON, or in protobuf for those who ask for it: kubectl of old reads nothing else."""
        protobuf = gnostic.MEDIA_TYPE in request.headers.get("accept", "") or request.path.endswith(".pb-v1")
        where, served = f"v2 {protobuf}", tuple(sorted(store.info.definition for store in self._table.stores()))
        kept = self._encoded.get(where)
        if kept is None or kept[0] != served:
            document = openapi_v2.document(self._groups())
            kept = (served, gnostic.encode(document) if protobuf else codec.encode(document), {})
            self._encoded[where] = kept
        await request.respond(200, kept[1], gnostic.ANSWERED_TYPE if protobuf else JSON, kept[2])

    def _groups(self) -> Iterator[tuple[str, str, list[OpenAPIResource]]]:
        for one in self._table.versions():
            yield one.group, one.version, [_row(info) for info in one.infos]

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


def _row(info: ResourceInfo[Any]) -> OpenAPIResource:
    resource = info.resource
    subresources = [
        OpenAPISubresource(
            name,
            one.foreign[2] if one.foreign else one.kind or resource.kind,
            one.verbs,
            one.foreign[:2] if one.foreign else None,
        )
        for name, one in sorted(info.subresources.items())
    ]
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
