"""What the server offers: the legacy documents, one per group version, and the aggregated one."""

import base64
import hashlib
from typing import Any, Final

from apimachinery import codec, errors
from apiserver.handlers.http import JSON, Request
from apiserver.handlers.table import GroupVersion, ResourceTable
from apiserver.registry.resource import ResourceInfo, Subresource

_AGGREGATED: Final = ("v2", "v2beta1")


class Discovery:
    """Answers ``/api``, ``/apis``, ``/apis/<group>`` and ``/apis/<group>/<version>``."""

    def __init__(self, table: ResourceTable, address: str) -> None:
        """``address`` is this server's own, ``host:port``, as clients of ``/api`` are told it."""
        self._table, self._address = table, address

    async def serve(self, request: Request, parts: list[str]) -> None:
        """``parts`` are the path's: ["api"], ["api", "v1"], ["apis"], ["apis", group], ["apis", group, version]."""
        match parts:
            case ["api"] | ["apis"]:
                await self._root(request, parts[0])
            case ["api", version]:
                await self._resources(request, "", version)
            case ["apis", group]:
                versions = self._table.groups().get(group)
                if versions is None:
                    raise errors.NotFound("the server could not find the requested resource")
                await _answer(request, {"kind": "APIGroup", "apiVersion": "v1", **_group(group, versions)})
            case ["apis", group, version]:
                await self._resources(request, group, version)
            case _:
                raise errors.NotFound("the server could not find the requested resource")

    async def _root(self, request: Request, root: str) -> None:
        if (version := _wants_aggregated(request.headers.get("accept", ""))) is not None:
            body = codec.encode(self._aggregated(root, version))
            media_type = f"{JSON};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
            await request.respond(200, body, media_type)
        elif root == "api":
            addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}]
            await _answer(request, {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses})
        else:
            groups = [_group(name, versions) for name, versions in self._table.groups().items()]
            await _answer(request, {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})

    async def _resources(self, request: Request, group: str, version: str) -> None:
        found = self._table.version(group, version)
        if found is None:
            raise errors.NotFound("the server could not find the requested resource")
        resources = [row for info in found.infos for row in _rows(info)]
        await _answer(
            request,
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": found.name, "resources": resources},
        )

    def _aggregated(self, root: str, version: str) -> dict[str, Any]:
        groups: dict[str, list[GroupVersion]] = {}
        for one in self._table.versions():
            if bool(one.group) == (root == "apis"):
                groups.setdefault(one.group, []).append(one)
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": [
                {
                    "metadata": {"name": name} if name else {},
                    "versions": [
                        {
                            "version": one.version,
                            "resources": [_aggregated_row(info) for info in one.infos],
                            "freshness": "Current",
                        }
                        for one in versions
                    ],
                }
                for name, versions in groups.items()
            ],
        }


async def _answer(request: Request, document: dict[str, Any]) -> None:
    await request.respond(200, codec.encode(document))


def _wants_aggregated(accept: str) -> str | None:
    """The version of the aggregated document that the client prefers, if it can read one."""
    for clause in accept.split(","):
        if "g=apidiscovery.k8s.io" in clause and "as=APIGroupDiscoveryList" in clause:
            parameters = dict(part.strip().split("=", 1) for part in clause.split(";") if "=" in part)
            if parameters.get("v") in _AGGREGATED:
                return parameters["v"]
    return None


def _group(name: str, versions: list[str]) -> dict[str, Any]:
    rows = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": rows, "preferredVersion": rows[0]}


def _rows(info: ResourceInfo[Any]) -> list[dict[str, Any]]:
    """The resource and its subresources, as an APIResourceList has them."""
    resource = info.resource
    main: dict[str, Any] = {
        "name": resource.plural,
        "singularName": info.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(info.verbs),
    }
    if info.answer is None and info.read is None:
        main["storageVersionHash"] = _storage_hash(info)
    if info.short_names:
        main["shortNames"] = list(info.short_names)
    if info.categories:
        main["categories"] = list(info.categories)
    return [main, *(_subresource_row(info, name, one) for name, one in sorted(info.subresources.items()))]


def _storage_hash(info: ResourceInfo[Any]) -> str:
    """Tells storage migrators when the stored form changes: kinds are stored as they are served."""
    stored = info.stored_as.info.resource if info.stored_as else info.resource
    text = f"{stored.group}/{stored.version}/{stored.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def _subresource_row(info: ResourceInfo[Any], name: str, one: Subresource) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": f"{info.resource.plural}/{name}",
        "singularName": "",
        "namespaced": info.resource.namespaced,
        "kind": one.kind or info.resource.kind,
        "verbs": list(one.verbs),
    }
    if one.foreign is not None:
        group, version, kind = one.foreign
        row.update(group=group, version=version, kind=kind)
    return row


def _aggregated_row(info: ResourceInfo[Any]) -> dict[str, Any]:
    resource = info.resource
    row: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": _kind(resource.group, resource.version, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": info.singular,
        "verbs": list(info.verbs),
    }
    if info.short_names:
        row["shortNames"] = list(info.short_names)
    if info.categories:
        row["categories"] = list(info.categories)
    if info.subresources:
        row["subresources"] = [
            {
                "subresource": name,
                "responseKind": _kind(*(one.foreign or (resource.group, resource.version, one.kind or resource.kind))),
                "verbs": list(one.verbs),
            }
            for name, one in sorted(info.subresources.items())
        ]
    return row


def _kind(group: str, version: str, kind: str) -> dict[str, str]:
    return {"group": group, "version": version, "kind": kind}
