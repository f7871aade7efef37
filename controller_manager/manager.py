"""Which controllers there are, under Kubernetes' names, and how those that are wanted run together."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

from controller_manager.endpoints import EndpointsController
from controller_manager.endpointslice import EndpointSliceController
from controller_manager.endpointslice_mirroring import EndpointSliceMirroringController
from controller_manager.ephemeral_volume import EphemeralVolumeController
from controller_manager.garbage_collector import GarbageCollector
from controller_manager.informers import Informers
from controller_manager.namespace import NamespaceController
from controller_manager.node_ipam import NodeIpamController
from controller_manager.node_lifecycle import Monitoring, NodeLifecycleController
from controller_manager.options import ControllerManagerOptions
from controller_manager.persistentvolume_binder import PersistentVolumeBinder
from controller_manager.pod_gc import PodGarbageCollector
from controller_manager.replication import ReplicationManager
from controller_manager.root_ca_publisher import RootCACertPublisher
from controller_manager.serviceaccount_tokens import TokensController
from controller_manager.serviceaccounts import ServiceAccountController
from controller_manager.taint_eviction import TaintEvictionController
from controller_manager.volume_protection import PVCProtectionController, PVProtectionController
from kube_client import Client, EventRecorder

log = logging.getLogger(__name__)

_NODE_WORKERS: Final = 8
_ACCOUNT_WORKERS: Final = 5
_VOLUME_WORKERS: Final = 2


class Controller(Protocol):
    async def run(self, workers: int) -> None:
        """Work until cancelled; caches are filled before."""
        ...


Wanted = tuple[Callable[[], Controller | None], int]
"""How to make a controller (None where the flags leave it nothing to do), and its workers."""


def controllers(
    options: ControllerManagerOptions, client: Client, informers: Informers, recorder: EventRecorder
) -> dict[str, tuple[Controller, int]]:
    """The controllers that the flags ask for, connected to the informers, which must not run yet.

    Raises:
        ValueError: --controllers names one that does not exist.
    """
    rows = _rows(options, client, informers, recorder)
    made = {name: (rows[name][0](), rows[name][1]) for name in chosen(options.controllers, rows)}
    return {name: (controller, workers) for name, (controller, workers) in made.items() if controller is not None}


async def run(running: Mapping[str, tuple[Controller, int]], informers: Informers) -> None:
    """Wait for the caches, then run the controllers until cancelled."""
    await informers.wait()
    log.info("controllers: %s", ", ".join(running))
    async with asyncio.TaskGroup() as tasks:
        for name, (controller, workers) in running.items():
            tasks.create_task(controller.run(workers), name=name)


def chosen(wanted: Sequence[str], known: Collection[str]) -> list[str]:
    """Of the known ones those that --controllers means.

    Raises:
        ValueError: it names one that does not exist.
    """
    for one in wanted:
        if one != "*" and one.removeprefix("-") not in known:
            raise ValueError(f"--controllers: {one.removeprefix('-')!r} is not one of {', '.join(known)}")
    return [name for name in known if f"-{name}" not in wanted and ("*" in wanted or name in wanted)]


def _rows(
    options: ControllerManagerOptions, client: Client, informers: Informers, recorder: EventRecorder
) -> dict[str, Wanted]:
    return {
        **_workload_rows(options, client, informers, recorder),
        **_node_rows(options, client, informers, recorder),
        **_account_rows(options, client, informers),
        **_volume_rows(client, informers, recorder),
    }


def _workload_rows(
    options: ControllerManagerOptions, client: Client, informers: Informers, recorder: EventRecorder
) -> dict[str, Wanted]:
    concurrency = options.concurrency
    return {
        "replicationcontroller": (
            lambda: ReplicationManager(client, informers, recorder),
            concurrency.concurrent_rc_syncs,
        ),
        "endpoint": (
            lambda: EndpointsController(client, informers, recorder),
            concurrency.concurrent_endpoint_syncs,
        ),
        "endpointslice": (
            lambda: EndpointSliceController(client, informers, recorder),
            concurrency.concurrent_endpoint_syncs,
        ),
        "endpointslicemirroring": (
            lambda: EndpointSliceMirroringController(client, informers, recorder),
            concurrency.concurrent_endpoint_syncs,
        ),
        "podgc": (lambda: PodGarbageCollector(client, informers, options.terminated_pod_gc_threshold), 1),
        "namespace": (lambda: NamespaceController(client, informers), concurrency.concurrent_namespace_syncs),
        "garbagecollector": (lambda: GarbageCollector(client), concurrency.concurrent_gc_syncs),
    }


def _node_rows(
    options: ControllerManagerOptions, client: Client, informers: Informers, recorder: EventRecorder
) -> dict[str, Wanted]:
    nodes = options.nodes
    monitoring = Monitoring(
        grace_period=nodes.node_monitor_grace_period,
        startup_grace_period=nodes.node_startup_grace_period,
        period=nodes.node_monitor_period,
        eviction_rate=nodes.node_eviction_rate,
    )

    def node_ipam() -> Controller | None:
        if not nodes.allocate_node_cidrs or nodes.cluster_cidr is None:
            return None
        return NodeIpamController(client, informers, recorder, nodes.cluster_cidr, nodes.node_cidr_mask_size)

    return {
        "nodelifecycle": (
            lambda: NodeLifecycleController(client, informers, recorder, monitoring),
            _NODE_WORKERS,
        ),
        "taint-eviction": (
            lambda: TaintEvictionController(client, informers, recorder, nodes.pod_eviction_timeout),
            _NODE_WORKERS,
        ),
        "nodeipam": (node_ipam, _NODE_WORKERS),
    }


def _account_rows(options: ControllerManagerOptions, client: Client, informers: Informers) -> dict[str, Wanted]:
    authority, key = options.root_ca_file, options.service_account_private_key_file

    def publisher() -> Controller | None:
        return RootCACertPublisher(client, informers, authority.read_text()) if authority is not None else None

    def tokens() -> Controller | None:
        if key is None:
            return None
        return TokensController(client, informers, key.read_bytes(), authority.read_bytes() if authority else b"")

    return {
        "serviceaccount": (lambda: ServiceAccountController(client, informers), _ACCOUNT_WORKERS),
        "serviceaccount-token": (tokens, _ACCOUNT_WORKERS),
        "root-ca-cert-publisher": (publisher, _ACCOUNT_WORKERS),
    }


def _volume_rows(client: Client, informers: Informers, recorder: EventRecorder) -> dict[str, Wanted]:
    return {
        "persistentvolume-binder": (lambda: PersistentVolumeBinder(client, informers, recorder), 1),
        "pvc-protection": (
            lambda: PVCProtectionController(client, informers), _VOLUME_WORKERS,
        ),
        "pv-protection": (lambda: PVProtectionController(client, informers), _VOLUME_WORKERS),
        "ephemeral-volume": (lambda: EphemeralVolumeController(client, informers, recorder), _VOLUME_WORKERS),
    }
