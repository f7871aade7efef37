"""Which controllers there are, under Kubernetes' names, and how those that are enabled run together."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from controller_manager.bootstrap_signer import BootstrapSigner
from controller_manager.clusterrole_aggregation import ClusterRoleAggregation
from controller_manager.context import Controller, ControllerContext
from controller_manager.csr_approving import ApprovingController
from controller_manager.csr_cleaner import SigningRequestCleaner
from controller_manager.csr_signing import SigningController
from controller_manager.endpoints import EndpointsController
from controller_manager.endpointslice import EndpointSliceController
from controller_manager.endpointslice_mirroring import EndpointSliceMirroringController
from controller_manager.ephemeral_volume import EphemeralVolumeController
from controller_manager.garbage_collector import GarbageCollector
from controller_manager.kubelet_serving_approving import KubeletServingApprover
from controller_manager.namespace import NamespaceController
from controller_manager.node_ipam import NodeIpamController
from controller_manager.node_lifecycle import NodeLifecycleController
from controller_manager.persistentvolume_binder import PersistentVolumeBinder
from controller_manager.pod_gc import PodGarbageCollector
from controller_manager.replication import ReplicationManager
from controller_manager.resourcequota import ResourceQuotaController
from controller_manager.root_ca_publisher import RootCACertPublisher
from controller_manager.serviceaccount_token_secrets import TokenSecretsController
from controller_manager.serviceaccount_tokens import TokensController
from controller_manager.serviceaccounts import ServiceAccountController
from controller_manager.taint_eviction import TaintEvictionController
from controller_manager.token_cleaner import TokenCleaner
from controller_manager.volume_protection import PVCProtectionController, PVProtectionController

log = logging.getLogger(__name__)

Initializer = Callable[[ControllerContext], Controller | None]
"""Makes a controller; None where the flags leave it nothing to do."""

CONTROLLERS: Final[Mapping[str, tuple[str, Initializer]]] = {
    "replicationcontroller": ("replication-controller", ReplicationManager),
    "endpoint": ("endpoint-controller", EndpointsController),
    "endpointslice": ("endpointslice-controller", EndpointSliceController),
    "endpointslicemirroring": ("endpointslicemirroring-controller", EndpointSliceMirroringController),
    "podgc": ("pod-garbage-collector", PodGarbageCollector),
    "namespace": ("namespace-controller", NamespaceController),
    "garbagecollector": ("generic-garbage-collector", GarbageCollector),
    "nodelifecycle": ("node-controller", NodeLifecycleController),
    "taint-eviction": ("node-controller", TaintEvictionController),
    "nodeipam": ("node-controller", NodeIpamController.if_allocating),
    "resourcequota": ("resourcequota-controller", ResourceQuotaController),
    "serviceaccount": ("service-account-controller", ServiceAccountController),
    "serviceaccount-token": ("", TokensController.if_signing),
    "serviceaccount-token-secrets": ("", TokenSecretsController.if_requested),
    "clusterrole-aggregation": ("clusterrole-aggregation-controller", ClusterRoleAggregation),
    "root-ca-cert-publisher": ("root-ca-cert-publisher", RootCACertPublisher.if_published),
    "persistentvolume-binder": ("persistent-volume-binder", PersistentVolumeBinder),
    "pvc-protection": ("pvc-protection-controller", PVCProtectionController),
    "pv-protection": ("pv-protection-controller", PVProtectionController),
    "ephemeral-volume": ("ephemeral-volume-controller", EphemeralVolumeController),
    "csrsigning": ("certificate-controller", SigningController.if_signing),
    "csrapproving": ("certificate-controller", ApprovingController),
    "kubelet-serving-approving": ("kubelet-serving-certificate-approver", KubeletServingApprover),
    "csrcleaner": ("certificate-controller", SigningRequestCleaner),
    "tokencleaner": ("token-cleaner", TokenCleaner),
    "bootstrapsigner": ("bootstrap-signer", BootstrapSigner),
}
"""Name -> the service account as which it acts, "" for the controller manager's own identity; and what makes it."""


def enabled(selection: Sequence[str], names: Collection[str] = CONTROLLERS.keys()) -> list[str]:
    """Which of ``names`` the value of --controllers selects.

    Raises:
        ValueError: it contains another name.
    """
    for item in selection:
        if item != "*" and item.removeprefix("-") not in names:
            raise ValueError(f"--controllers: {item.removeprefix('-')!r} is not one of {', '.join(names)}")
    return [name for name in names if f"-{name}" not in selection and ("*" in selection or name in selection)]


def accounts(selection: Sequence[str]) -> list[str]:
    """The service accounts of the enabled controllers."""
    return sorted({account for name in enabled(selection) if (account := CONTROLLERS[name][0])})


def controllers(context: ControllerContext, selection: Sequence[str]) -> dict[str, Controller]:
    """The enabled controllers by name, connected to the informers, which must not be running yet."""
    result = {}
    for name in enabled(selection):
        account, make = CONTROLLERS[name]
        controller = make(context.acting_as(account))
        if controller is not None:
            result[name] = controller
    return result


async def run(controllers: Mapping[str, Controller]) -> None:
    """Run the controllers until cancelled."""
    log.info("controllers: %s", ", ".join(controllers))
    async with asyncio.TaskGroup() as tasks:
        for name, controller in controllers.items():
            tasks.create_task(controller.run(), name=name)
