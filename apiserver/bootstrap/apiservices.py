"""An APIService for every group and version that this server answers itself.

Each is created once after its version appears in the resource table, at start or later.
"""

from collections.abc import Mapping
from typing import Final

from apimachinery.core.well_known import AUTOMANAGED_LABEL
from apimachinery.types.apiregistration_v1 import APIService, APIServiceSpec
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.bootstrap.objects import Objects

_GROUP: Final = "apiregistration.k8s.io"

# pkg/controlplane/apiserver/aggregator.go and cmd/kube-apiserver/app/aggregator.go: how discovery orders the groups
_PRIORITIES: Final[Mapping[str, int]] = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
}
_VERSIONS: Final[Mapping[tuple[str, str], int]] = {
    ("", "v1"): 1,
    ("autoscaling", "v2"): 30,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
}
_STABLE: Final = 15
_CUSTOM: Final = (1000, 100)  # for the groups of custom resources


def local_service(group: str, version: str) -> APIService:
    """The APIService of a group and version that is served here."""
    known = group in _PRIORITIES
    custom_group, custom_version = _CUSTOM
    return APIService(
        metadata=ObjectMeta(name=f"{version}.{group}", labels={AUTOMANAGED_LABEL: "onstart" if known else "true"}),
        spec=APIServiceSpec(
            group=group or None,
            version=version,
            group_priority_minimum=_PRIORITIES.get(group, custom_group),
            version_priority=_VERSIONS.get((group, version), _STABLE) if known else custom_version,
        ),
    )


class LocalServices:
    """Remembers for which versions it has created an APIService."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._made: set[tuple[str, str]] = set()

    async def sync(self) -> None:
        """Create those that are new. Raises ApiError, and is safe to repeat."""
        served = [(version.group, version.version) for version in self._objects.resources.versions()]
        for group, version in served:
            if (group, version) not in self._made and group != _GROUP:  # the aggregator does not register itself
                await self._objects.ensure(local_service(group, version))
            self._made.add((group, version))
        self._made.intersection_update(served)
