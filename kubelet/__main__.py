"""The kubelet as a daemon: flags, then wiring."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any, NoReturn

from apimachinery.types import core_v1
from component_base import daemon, flags
from component_base.health import Health, Unhealthy
from component_base.serving import TLS, Server, daemon_app
from host_network import devices
from host_network.node_routes import NodeRoutes
from host_network.routes import routes
from kube_client import Client, EventRecorder, Informer
from kube_client.certificate_expiry import ExpiryReporter
from kube_client.delegation import Authentication, Authorizer
from kube_client.reviews import AccessReviews, TokenReviews
from kubelet.certificates.client import ClientIdentity, client_identity
from kubelet.certificates.serving import CertifiedServer
from kubelet.containers import etc_files, oom_score
from kubelet.containers.events import PodEvents
from kubelet.containers.image_manager import ImageManager
from kubelet.containers.node_context import NodeContext
from kubelet.containers.run_options import RunOptions
from kubelet.containers.starter import ContainerStarter
from kubelet.network import pod_network
from kubelet.network.pod_network import PodNetwork
from kubelet.node import limits
from kubelet.node.address import NodeAddress
from kubelet.node.keeper import NodeKeeper
from kubelet.node.lease import NodeLease
from kubelet.node.machine import read_machine
from kubelet.node.pressures import NodePressures
from kubelet.node.status import Identity, allocatable
from kubelet.options import WEBHOOK, KubeletOptions
from kubelet.pods import metrics
from kubelet.pods.pod_dirs import PodDirs
from kubelet.pods.static_pods import StaticPods
from kubelet.pods.status_manager import StatusManager
from kubelet.pods.worker import Dependencies
from kubelet.pods.workers import PodWorkers
from kubelet.probes import Checks
from kubelet.references.api_objects import ApiObjects
from kubelet.resources.eviction import Evictor
from kubelet.resources.image_gc import ImageCollector, Policy
from kubelet.resources.stats import Stats
from kubelet.resources.storage_limits import StorageLimits
from kubelet.resources.thresholds import MEMORY_SIGNAL
from kubelet.runtime import Defaults, Engine, Runtime, security
from kubelet.server import AlwaysAllow, Backend, KubeletAccess, kubelet_app
from kubelet.volumes import Volumes


def main() -> NoReturn:
    options = flags.parse(KubeletOptions, "kubelet", "Runs the pods that are bound to this node.")
    daemon.run("kubelet", kubelet, options)


async def kubelet(options: KubeletOptions) -> None:
    """Run the node's pods until cancelled, which leaves their containers running."""
    setup = set_up_node(options)
    name, node = setup.identity.name, setup.node_context
    identity = await join_cluster(options, name)
    async with (
        Client(identity.config, user_agent="kubelet") as client,
        Checks(setup.engine) as checks,
    ):
        recorder = EventRecorder(client, component="kubelet", host=name)
        own_node = Informer(client.resource(core_v1.Node), field_selector=f"metadata.name={name}")
        nodes, services = Informer(client.resource(core_v1.Node)), Informer(client.resource(core_v1.Service))
        pods = Informer(client.resource(core_v1.Pod), field_selector=f"spec.nodeName={name}")
        runtime = Runtime(setup.engine, container_defaults(options))
        network = PodNetwork(runtime, [cidr for _, cidr in setup.ranges], setup.mtu)
        pressures = NodePressures()
        keeper = node_keeper(options, setup, client, own_node, recorder, runtime, network, pressures)
        folder, check_frequency = options.node.pod_manifest_path, options.node.file_check_frequency
        static = StaticPods(folder, check_frequency, client, pods, name, lambda: keeper.node) if folder else None
        statuses = StatusManager(client, static.in_api if static else None)
        pods.on_rewind(statuses.rewind)
        events, objects = PodEvents(recorder), ApiObjects(client)
        shared = Dependencies(
            runtime=runtime,
            starter=container_starter(runtime, services, objects, events, node),
            volumes=Volumes(objects, node.address, node.allocatable),
            network=network,
            statuses=statuses,
            checks=checks,
            events=events,
            pods_api=client.resource(core_v1.Pod),
            dirs=PodDirs(options.runtime.root_dir),
            node=node,
            sync_frequency=options.node.sync_frequency,
        )
        workers = PodWorkers(pods, services, shared, lambda: keeper.node, pressures, static)
        stats = Stats(name, setup.identity.machine.memory, options.runtime.root_dir, runtime.containers)
        collector = ImageCollector(runtime, image_policy(options), workers.images, recorder, lambda: keeper.node)
        evict_at = options.resources.eviction_hard
        evictor = Evictor(
            evict_at, workers, stats, collector, runtime, shared.dirs, recorder, lambda: keeper.node, pressures
        )
        storage_limits = StorageLimits(workers, runtime, shared.dirs, recorder)
        connect_listeners(runtime, network, keeper, workers, pressures)
        metrics.register(name, runtime.containers)
        health = Health()
        health.add("docker", lambda: check(runtime.fault), live=False)
        backend = Backend(runtime, workers.pods, stats, workers.find, statuses.latest)
        access = kubelet_access(options, client, name)
        listening, certified = servers(
            options, kubelet_app(backend, health, access), health, client, lambda: keeper.node
        )
        managers = [identity.manager(name, client), certified.manager if certified else None]
        expiry = ExpiryReporter(recorder, lambda: keeper.node, client, *listening)
        lease, routes = (
            NodeLease(client, name, lambda: keeper.node),
            NodeRoutes(nodes, options.network.cluster_cidr, name),
        )
        loops = (
            recorder.run, own_node.run, nodes.run, services.run, pods.run, runtime.run, network.run, statuses.run, keeper.run,
            lease.run, workers.run, collector.run, stats.run, evictor.run, storage_limits.run, routes.run,
            expiry.run, *(server.run for server in listening), *(manager.run for manager in managers if manager),
        )  # fmt: skip
        async with asyncio.TaskGroup() as tasks:
            for loop in loops:
                tasks.create_task(loop(), name=loop.__qualname__)
            await pods.synced.wait()
            daemon.freeze()


@dataclass(frozen=True)
class NodeSetup:
    """What is known of the machine before the kubelet connects to anything."""

    identity: Identity
    node_context: NodeContext
    engine: Engine
    ranges: Sequence[tuple[str, IPv4Network]]
    """The cluster's, with the flags that name them."""
    mtu: int
    warnings: Sequence[tuple[str, str]]
    """Reasons and messages of events about the machine."""


def set_up_node(options: KubeletOptions) -> NodeSetup:
    """Examine the machine, and prepare it for pods. Raises if it cannot be a node."""
    options.runtime.root_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    identity, address = identify(options), NodeAddress(options.node.node_ip)
    ranges = cluster_ranges(options)
    pod_network.check_overlaps(ranges, devices.addresses(), routes())
    pod_network.enable_forwarding()
    return NodeSetup(
        identity,
        node_context(options, identity, address),
        Engine(options.runtime.docker_endpoint),
        ranges,
        options.network.network_plugin_mtu or devices.mtu_of(address.device),
        limits.shortages(limits.read_limits(), identity.max_pods),
    )


def identify(options: KubeletOptions) -> Identity:
    hostname, resources = options.node.hostname_override or socket.gethostname(), options.resources
    # Pods never get the memory below the eviction threshold: they would be evicted first.
    below_threshold = sum(
        threshold.amount for threshold in resources.eviction_hard if threshold.signal == MEMORY_SIGNAL
    )
    return Identity(
        name=hostname.lower(),
        hostname=hostname,
        port=options.serving.port,
        max_pods=options.node.max_pods,
        machine=read_machine(options.runtime.root_dir),
        labels=options.node.node_labels,
        reserved=(resources.system_reserved, resources.kube_reserved, {"memory": below_threshold}),
    )


def node_context(options: KubeletOptions, identity: Identity, address: NodeAddress) -> NodeContext:
    return NodeContext(
        name=identity.name,
        hostname=identity.hostname,
        address=address,
        memory=identity.machine.memory,
        lowest_oom_score=oom_score.lowest_score(),
        resolver=etc_files.parse_resolver(
            etc_files.read(options.network.resolv_conf) if options.network.resolv_conf else ""
        ),
        hosts=etc_files.read(etc_files.HOSTS),
        unsafe_sysctls=options.resources.allowed_unsafe_sysctls,
        apparmor=security.APPARMOR.exists(),
        seccomp_root=options.runtime.root_dir / "seccomp",
        seccomp_default=options.resources.seccomp_default,
        cluster_dns=tuple(map(str, options.network.cluster_dns)),
        cluster_domain=options.network.cluster_domain,
        allocatable=allocatable(identity),
    )


def cluster_ranges(options: KubeletOptions) -> list[tuple[str, IPv4Network]]:
    ranges = (
        ("--cluster-cidr", options.network.cluster_cidr),
        ("--service-cluster-ip-range", options.network.service_cluster_ip_range),
    )
    return [(flag, cidr) for flag, cidr in ranges if cidr is not None]


def node_keeper(
    options: KubeletOptions,
    setup: NodeSetup,
    client: Client,
    own_node: Informer[core_v1.Node],
    recorder: EventRecorder,
    runtime: Runtime,
    network: PodNetwork,
    pressures: NodePressures,
) -> NodeKeeper:
    return NodeKeeper(
        client,
        setup.identity,
        own_node,
        recorder,
        runtime,
        setup.node_context.address,
        network,
        pressures,
        frequency=options.node.node_status_update_frequency,
        register=options.node.register_node,
        warnings=setup.warnings,
    )


def container_starter(
    runtime: Runtime,
    services: Informer[core_v1.Service],
    objects: ApiObjects,
    events: PodEvents,
    node: NodeContext,
) -> ContainerStarter:
    images = ImageManager(runtime.images, objects, events)
    return ContainerStarter(runtime, images, RunOptions(runtime, services, objects, events, node), events)


def container_defaults(options: KubeletOptions) -> Defaults:
    runtime = options.runtime
    return Defaults(
        pod_network.NAME,
        runtime.pod_infra_container_image,
        runtime.container_log_max_size,
        runtime.container_log_max_files,
    )


def image_policy(options: KubeletOptions) -> Policy:
    runtime = options.runtime
    return Policy(runtime.image_gc_high_threshold, runtime.image_gc_low_threshold, runtime.minimum_image_ttl_duration)


def connect_listeners(
    runtime: Runtime, network: PodNetwork, keeper: NodeKeeper, workers: PodWorkers, pressures: NodePressures
) -> None:
    """Have each part wake those that depend on it."""
    runtime.on_health(keeper.wake)
    runtime.on_connected(network.check)
    for listener in (keeper.wake, workers.wake_all):
        network.on_change(listener)
    keeper.on_address(workers.wake_all)
    pressures.on_change(keeper.wake)


def kubelet_access(options: KubeletOptions, client: Client, node: str) -> KubeletAccess:
    """Who may use the kubelet's port."""
    given = options.access
    authorizer: Authorizer = AlwaysAllow()
    if given.authorization_mode == WEBHOOK:
        allowed_seconds = given.authorization_webhook_cache_authorized_ttl
        authorizer = AccessReviews(client, allowed_seconds, given.authorization_webhook_cache_unauthorized_ttl)
    tokens = None
    if given.authentication_token_webhook:
        tokens = TokenReviews(client, given.authentication_token_webhook_cache_ttl)
    return KubeletAccess(node, Authentication(tokens, given.anonymous_auth), authorizer)


def servers(
    options: KubeletOptions, app: Any, health: Health, client: Client, node: Callable[[], core_v1.Node | None]
) -> tuple[list[Server | CertifiedServer], CertifiedServer | None]:
    """What listens, and which of these has a certificate that the cluster issues."""
    serving, address = options.serving, (str(options.serving.address), options.serving.port)
    plain = Server(daemon_app(health), [(str(serving.healthz_bind_address), serving.healthz_port)])
    if options.certificates.rotate_server_certificates and serving.client_ca_file is not None:
        certified = CertifiedServer(app, address, serving.client_ca_file, options.cert_dir, client, node)
        return [plain, certified], certified
    if serving.tls_cert_file is None or serving.tls_private_key_file is None:
        return [plain], None
    tls = TLS(serving.tls_cert_file, serving.tls_private_key_file, serving.client_ca_file)
    return [plain, Server(app, [address], tls=tls)], None


async def join_cluster(options: KubeletOptions, name: str) -> ClientIdentity:
    """As whom the kubelet acts; a new node waits here until it has a certificate."""
    node, rotates = options.node, options.certificates.rotate_certificates
    return await client_identity(name, node.kubeconfig, node.bootstrap_kubeconfig, options.cert_dir, rotates=rotates)


def check(fault: str) -> None:
    if fault:
        raise Unhealthy(fault)


if __name__ == "__main__":
    main()
