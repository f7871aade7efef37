"""By what the controllers look objects up in the informers: names of indexes, and the functions behind them.

A controller declares those that it reads: ``context.informer(Pod, indexes={BY_NODE: node_of})``.
"""

from collections.abc import Hashable
from typing import Final

from apimachinery import meta
from apimachinery.core import pods, services
from apimachinery.types.core_v1 import Pod
from apimachinery.types.discovery_v1 import EndpointSlice
from apimachinery.types.objects import KubeObject

BY_NAMESPACE: Final = "namespace"
BY_NODE: Final = "node"
"""Pods by the name of their node."""
BY_CONTROLLER: Final = "controller"
"""By the UID of the managing owner."""
ORPHANS: Final = "orphans"
"""Objects without a managing owner, by namespace."""
BY_SERVICE: Final = "service"
"""Endpoint slices by the key of their service."""
BY_CLAIM: Final = "claim"
"""Pods by the keys of the persistent volume claims that they mount."""


def namespace_of(obj: KubeObject) -> list[Hashable]:
    return [meta.namespace_of(obj)]


def node_of(pod: Pod) -> list[Hashable]:
    return [pod.spec.node_name] if pod.spec.node_name else []


def controller_of(obj: KubeObject) -> list[Hashable]:
    owner = meta.controller_of(obj)
    return [owner.uid] if owner else []


def orphan_of(obj: KubeObject) -> list[Hashable]:
    return [] if meta.controller_of(obj) else [meta.namespace_of(obj)]


def service_of(endpoint_slice: EndpointSlice) -> list[Hashable]:
    service = services.service_of(endpoint_slice)
    return [service] if service else []


def claims_of(pod: Pod) -> list[Hashable]:
    return [*pods.claims_of(pod)]
