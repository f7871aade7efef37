"""The resources that every Peapod serves: one row each."""

from dataclasses import replace
from typing import Any, Final

from apimachinery.types.core_v1 import Pod
from apiserver.authentication.authenticators import Authenticator
from apiserver.authorization import Authorizer
from apiserver.registry.admissionregistration.policies import (
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)
from apiserver.registry.admissionregistration.webhooks import (
    MUTATING_WEBHOOK_CONFIGURATIONS,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
)
from apiserver.registry.apiextensions.customresourcedefinitions import CUSTOM_RESOURCE_DEFINITIONS
from apiserver.registry.apiregistration.apiservices import API_SERVICES
from apiserver.registry.apps.controllerrevisions import CONTROLLER_REVISIONS
from apiserver.registry.apps.daemonsets import DAEMON_SETS
from apiserver.registry.apps.deployments import DEPLOYMENTS
from apiserver.registry.apps.replicasets import REPLICA_SETS
from apiserver.registry.apps.statefulsets import STATEFUL_SETS
from apiserver.registry.authentication.reviews import SELF_SUBJECT_REVIEWS, token_reviews
from apiserver.registry.authorization.reviews import reviews
from apiserver.registry.autoscaling.horizontalpodautoscalers import HORIZONTAL_POD_AUTOSCALERS
from apiserver.registry.autoscaling.version_1 import HORIZONTAL_POD_AUTOSCALERS_V1
from apiserver.registry.batch.cronjobs import CRON_JOBS
from apiserver.registry.batch.jobs import JOBS
from apiserver.registry.certificates.signingrequests import CERTIFICATE_SIGNING_REQUESTS
from apiserver.registry.coordination.leases import LEASES
from apiserver.registry.core.allocators import PortRange, ServiceRange
from apiserver.registry.core.bindings import bindings
from apiserver.registry.core.configmaps import CONFIG_MAPS
from apiserver.registry.core.endpoints import ENDPOINTS
from apiserver.registry.core.ephemeralcontainers import EPHEMERAL_CONTAINERS
from apiserver.registry.core.events import EVENTS
from apiserver.registry.core.events_k8s_io import EVENTS_K8S_IO
from apiserver.registry.core.limitranges import LIMIT_RANGES
from apiserver.registry.core.namespaces import NAMESPACES
from apiserver.registry.core.nodes import NODES
from apiserver.registry.core.persistentvolumeclaims import PERSISTENT_VOLUME_CLAIMS
from apiserver.registry.core.persistentvolumes import PERSISTENT_VOLUMES
from apiserver.registry.core.pods import PODS
from apiserver.registry.core.podtemplates import POD_TEMPLATES
from apiserver.registry.core.replicationcontrollers import REPLICATION_CONTROLLERS
from apiserver.registry.core.resourcequotas import RESOURCE_QUOTAS
from apiserver.registry.core.secrets import SECRETS
from apiserver.registry.core.serviceaccounts import Issuer, service_accounts
from apiserver.registry.core.services import services
from apiserver.registry.discovery.endpointslices import ENDPOINT_SLICES
from apiserver.registry.flowcontrol.priorities import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS
from apiserver.registry.networking.addresses import IP_ADDRESSES, SERVICE_CIDRS
from apiserver.registry.networking.ingressclasses import INGRESS_CLASSES
from apiserver.registry.networking.ingresses import INGRESSES
from apiserver.registry.networking.networkpolicies import network_policies
from apiserver.registry.node.runtimeclasses import RUNTIME_CLASSES
from apiserver.registry.policy.evictions import EvictionSubresource
from apiserver.registry.policy.poddisruptionbudgets import POD_DISRUPTION_BUDGETS
from apiserver.registry.rbac.rolebindings import CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS
from apiserver.registry.rbac.roles import CLUSTER_ROLES, ROLES
from apiserver.registry.resource import ResourceInfo, Subresource
from apiserver.registry.resources import Resources
from apiserver.registry.scheduling.priorityclasses import PRIORITY_CLASSES
from apiserver.registry.storage.csi import CSI_DRIVERS, CSI_NODES, CSI_STORAGE_CAPACITIES
from apiserver.registry.storage.storageclasses import STORAGE_CLASSES, VOLUME_ATTRIBUTES_CLASSES
from apiserver.registry.storage.volumeattachments import VOLUME_ATTACHMENTS


def builtin(
    resources: Resources, addresses: ServiceRange, ports: PortRange, issuer: Issuer | None = None
) -> list[ResourceInfo[Any]]:
    """All rows, for a cluster with these ranges of service addresses and node ports, and this issuer of tokens.

    Args:
        resources: where rows find other resources once requests come.
    """
    more: dict[str, Subresource[Pod, Any]] = {
        "ephemeralcontainers": EPHEMERAL_CONTAINERS,
        "eviction": EvictionSubresource(resources),
    }
    return [
        bindings(resources),
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
        network_policies(resources),
        service_accounts(resources, issuer),
        services(addresses, ports),
        *_GROUPS,
    ]


def reviewing(authenticator: Authenticator, authorizer: Authorizer) -> list[ResourceInfo[Any]]:
    """The rows of reviews, which are answered and not stored."""
    return [SELF_SUBJECT_REVIEWS, token_reviews(authenticator), *reviews(authorizer)]


_GROUPS: Final[tuple[ResourceInfo[Any], ...]] = (
    API_SERVICES,
    CERTIFICATE_SIGNING_REQUESTS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    CSI_DRIVERS,
    CSI_NODES,
    CSI_STORAGE_CAPACITIES,
    CUSTOM_RESOURCE_DEFINITIONS,
    FLOW_SCHEMAS,
    INGRESSES,
    INGRESS_CLASSES,
    IP_ADDRESSES,
    MUTATING_WEBHOOK_CONFIGURATIONS,
    PRIORITY_CLASSES,
    PRIORITY_LEVEL_CONFIGURATIONS,
    ROLES,
    ROLE_BINDINGS,
    RUNTIME_CLASSES,
    SERVICE_CIDRS,
    STORAGE_CLASSES,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
    VOLUME_ATTACHMENTS,
    VOLUME_ATTRIBUTES_CLASSES,
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
