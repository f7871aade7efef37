"""Discovery: the legacy documents, one per group version, and the aggregated one."""

import base64
import hashlib
from typing import Final

from apimachinery import codec, errors
from apimachinery.types.objects import KubeObject
from apiserver.handlers.http import JSON, Request
from apiserver.registry.resource import ResourceInfo, Subresource
from apiserver.registry.resources import GroupVersion, Resources

_AGGREGATED: Final = ("v2", "v2beta1")


class Discovery:
    """Answers ``/api``, ``/apis``, ``/apis/<group>`` and ``/apis/<group>/<version>``."""

    def __init__(self, resources: Resources, address: str) -> None:
        """``address`` is this server's own, ``host:port``, as ``/api`` reports it."""
        self._resources, self._address = resources, address

    async def serve(self, request: Request, parts: list[str]) -> None:
        """``parts`` are the path's: ["api"], ["api", "v1"], ["apis"], ["apis", group], ["apis", group, version]."""
        match parts:
            case ["api"] | ["apis"]:
                await self._root(request, parts[0])
            case ["api", version]:
                await self._serve_version(request, "", version)
            case ["apis", group]:
                versions = self._resources.groups().get(group)
                if versions is None:
                    raise errors.NotFound("the server could not find the requested resource")
                await _answer(request, {"kind": "APIGroup", "apiVersion": "v1", **_group(group, versions)})
            case ["apis", group, version]:
                await self._serve_version(request, group, version)
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
            groups = [_group(name, versions) for name, versions in self._resources.groups().items()]
            await _answer(request, {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})

    async def _serve_version(self, request: Request, group: str, version: str) -> None:
        group_version = self._resources.version(group, version)
        if group_version is None:
            raise errors.NotFound("the server could not find the requested resource")
        resources = [row for info in group_version.infos for row in _rows(info)]
        await _answer(
            request,
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version.name, "resources": resources},
        )

    def _aggregated(self, root: str, version: str) -> dict[str, object]:
        groups: dict[str, list[GroupVersion]] = {}
        for group_version in self._resources.versions():
            if bool(group_version.group) == (root == "apis"):
                groups.setdefault(group_version.group, []).append(group_version)
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": [
                {
                    "metadata": {"name": name} if name else {},
                    "versions": [
                        {
                            "version": group_version.version,
                            "resources": [_aggregated_row(info) for info in group_version.infos],
                            "freshness": "Current",
                        }
                        for group_version in versions
                    ],
                }
                for name, versions in groups.items()
            ],
        }


async def _answer(request: Request, document: dict[str, object]) -> None:
    await request.respond(200, codec.encode(document))


def _wants_aggregated(accept: str) -> str | None:
    """The version of the aggregated document that the client prefers, if it can read one."""
    for clause in accept.split(","):
        if "g=apidiscovery.k8s.io" in clause and "as=APIGroupDiscoveryList" in clause:
            parameters = dict(part.strip().split("=", 1) for part in clause.split(";") if "=" in part)
            if parameters.get("v") in _AGGREGATED:
                return parameters["v"]
    return None


def _group(name: str, versions: list[str]) -> dict[str, object]:
    rows = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": rows, "preferredVersion": rows[0]}


def _rows(info: ResourceInfo[KubeObject]) -> list[dict[str, object]]:
    """The resource and its subresources, as an APIResourceList has them."""
    resource = info.resource
    main: dict[str, object] = {
        "name": resource.plural,
        "singularName": info.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(info.verbs),
    }
    if (stored := info.stored_kind) is not None:
        # tells storage migrators when the stored form changes
        digest = hashlib.sha256(f"{stored.group}/{stored.version}/{stored.name}".encode()).digest()
        main["storageVersionHash"] = base64.b64encode(digest[:8]).decode()
    if info.short_names:
        main["shortNames"] = list(info.short_names)
    if info.categories:
        main["categories"] = list(info.categories)
    return [main, *(_subresource_row(info, name, part) for name, part in sorted(info.subresources.items()))]


def _subresource_row(
    info: ResourceInfo[KubeObject], name: str, subresource: Subresource[KubeObject, KubeObject]
) -> dict[str, object]:
    group, version, kind = subresource.discovered(info.resource)
    row: dict[str, object] = {
        "name": f"{info.resource.plural}/{name}",
        "singularName": "",
        "namespaced": info.resource.namespaced,
        "kind": kind,
        "verbs": list(subresource.verbs),
    }
    if (group, version) != (info.resource.group, info.resource.version):
        row.update(group=group, version=version)
    return row


def _aggregated_row(info: ResourceInfo[KubeObject]) -> dict[str, object]:
    resource = info.resource
    row: dict[str, object] = {
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
                "responseKind": _kind(*subresource.discovered(resource)),
                "verbs": list(subresource.verbs),
            }
            for name, subresource in sorted(info.subresources.items())
        ]
    return row


def _kind(group: str, version: str, kind: str) -> dict[str, str]:
    return {"group": group, "version": version, "kind": kind}
