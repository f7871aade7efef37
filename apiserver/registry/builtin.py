"""The resources that every Peapod serves: one row each."""

from typing import Any

from apiserver.registry.allocators import PortRange, ServiceRange
from apiserver.registry.configmaps import CONFIG_MAPS
from apiserver.registry.endpoints import ENDPOINTS
from apiserver.registry.events import EVENTS
from apiserver.registry.leases import LEASES
from apiserver.registry.namespaces import NAMESPACES
from apiserver.registry.nodes import NODES
from apiserver.registry.pods import PODS
from apiserver.registry.replicationcontrollers import REPLICATION_CONTROLLERS
from apiserver.registry.resource import ResourceInfo
from apiserver.registry.secrets import SECRETS
from apiserver.registry.services import services


def builtin(addresses: ServiceRange, ports: PortRange) -> list[ResourceInfo[Any]]:
    """All rows, for a cluster with these ranges of service addresses and node ports."""
    return [
        CONFIG_MAPS,
        ENDPOINTS,
        EVENTS,
        LEASES,
        NAMESPACES,
        NODES,
        PODS,
        REPLICATION_CONTROLLERS,
        SECRETS,
        services(addresses, ports),
    ]
