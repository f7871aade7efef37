"""The resources that every Peapod serves: one row each."""

from dataclasses import replace
from typing import Any, Final

from apiserver.registry.allocators import PortRange, ServiceRange
from apiserver.registry.apps.controllerrevisions import CONTROLLER_REVISIONS
from apiserver.registry.apps.daemonsets import DAEMON_SETS
from apiserver.registry.apps.deployments import DEPLOYMENTS
from apiserver.registry.apps.replicasets import REPLICA_SETS
from apiserver.registry.apps.statefulsets import STATEFUL_SETS
from apiserver.registry.autoscaling.horizontalpodautoscalers import HORIZONTAL_POD_AUTOSCALERS
from apiserver.registry.autoscaling.version_1 import HORIZONTAL_POD_AUTOSCALERS_V1
from apiserver.registry.batch.cronjobs import CRON_JOBS
from apiserver.registry.batch.jobs import JOBS
from apiserver.registry.configmaps import CONFIG_MAPS
from apiserver.registry.core.bindings import BINDINGS
from apiserver.registry.core.componentstatuses import COMPONENT_STATUSES
from apiserver.registry.core.ephemeralcontainers import EPHEMERAL_CONTAINERS
from apiserver.registry.core.events_k8s_io import EVENTS_K8S_IO
from apiserver.registry.core.limitranges import LIMIT_RANGES
from apiserver.registry.core.persistentvolumeclaims import PERSISTENT_VOLUME_CLAIMS
from apiserver.registry.core.persistentvolumes import PERSISTENT_VOLUMES
from apiserver.registry.core.podtemplates import POD_TEMPLATES
from apiserver.registry.core.resourcequotas import RESOURCE_QUOTAS
from apiserver.registry.core.serviceaccounts import service_accounts
from apiserver.registry.discovery.endpointslices import ENDPOINT_SLICES
from apiserver.registry.endpoints import ENDPOINTS
from apiserver.registry.events import EVENTS
from apiserver.registry.leases import LEASES
from apiserver.registry.namespaces import NAMESPACES
from apiserver.registry.nodes import NODES
from apiserver.registry.pods import PODS
from apiserver.registry.policy.evictions import EVICTION
from apiserver.registry.policy.poddisruptionbudgets import POD_DISRUPTION_BUDGETS
from apiserver.registry.replicationcontrollers import REPLICATION_CONTROLLERS
from apiserver.registry.resource import ResourceInfo
from apiserver.registry.secrets import SECRETS
from apiserver.registry.services import services


def builtin(addresses: ServiceRange, ports: PortRange) -> list[ResourceInfo[Any]]:
    """All rows, for a cluster with these ranges of service addresses and node ports."""
    return [*_core(addresses, ports), *_GROUPS]


def _core(addresses: ServiceRange, ports: PortRange) -> list[ResourceInfo[Any]]:
    more = {"ephemeralcontainers": EPHEMERAL_CONTAINERS, "eviction": EVICTION}
    return [
        BINDINGS,
        COMPONENT_STATUSES,
        CONFIG_MAPS,
        ENDPOINTS,
        EVENTS,
        LIMIT_RANGES,
        NAMESPACES,
        NODES,
        PERSISTENT_VOLUMES,
        PERSISTENT_VOLUME_CLAIMS,
        replace(PODS, subresources={**PODS.subresources, **more}),
        POD_TEMPLATES,
        REPLICATION_CONTROLLERS,
        RESOURCE_QUOTAS,
        SECRETS,
        service_accounts(),
        services(addresses, ports),
    ]


_GROUPS: Final[tuple[ResourceInfo[Any], ...]] = (
    CONTROLLER_REVISIONS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS_K8S_IO,
    HORIZONTAL_POD_AUTOSCALERS,
    HORIZONTAL_POD_AUTOSCALERS_V1,
    JOBS,
    LEASES,
    POD_DISRUPTION_BUDGETS,
    REPLICA_SETS,
    STATEFUL_SETS,
)
