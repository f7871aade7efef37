"""The kubelet as a daemon: flags, then wiring."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import NoReturn

from apimachinery.types import core_v1
from apimachinery.types.base import Quantity
from component_base import daemon, flags, iproute
from component_base.health import Health, Unhealthy
from component_base.routes import NodeRoutes
from component_base.serving import TLS, Server, daemon_app
from kube_client import Client, EventRecorder, Informer, load_config
from kubelet.containers import etc_files
from kubelet.containers import oom_score as qos
from kubelet.containers.node_context import NodeContext
from kubelet.containers.starter import ContainerStarter
from kubelet.network import pod_network as network
from kubelet.node import limits
from kubelet.node.address import NodeAddress
from kubelet.node.keeper import NodeKeeper
from kubelet.node.lease import NodeLease
from kubelet.node.machine import read_machine
from kubelet.node.status import Identity, allocatable
from kubelet.options import KubeletOptions
from kubelet.pods import metrics
from kubelet.pods.pod_dirs import PodDirs
from kubelet.pods.static_pods import StaticPods
from kubelet.pods.status_manager import StatusManager
from kubelet.pods.worker import Parts
from kubelet.pods.workers import PodWorkers
from kubelet.probes import Checks
from kubelet.references.api_objects import ApiObjects
from kubelet.resources import eviction, thresholds
from kubelet.resources.eviction import Evictor
from kubelet.resources.image_gc import ImageCollector, Policy
from kubelet.resources.stats import Stats
from kubelet.resources.thresholds import Threshold
from kubelet.resources.volume_limits import VolumeLimits
from kubelet.runtime import Defaults, Engine, Runtime, security
from kubelet.server import Backend, kubelet_app
from kubelet.volumes import Volumes


def main() -> NoReturn:
    options = flags.parse(KubeletOptions, "kubelet", "Runs the pods that are bound to this node.")
    daemon.run("kubelet", kubelet, options)


async def kubelet(options: KubeletOptions) -> None:
    """Run the node's pods until cancelled. Containers go on running then."""
    ground = prepare(options)
    name = ground.identity.name
    async with (
        Client(load_config(options.node.kubeconfig), user_agent="kubelet") as client,
        Checks(ground.engine) as checks,
    ):
        recorder = EventRecorder(client, component="kubelet", host=name)
        nodes, services = Informer(client.resource(core_v1.Node)), Informer(client.resource(core_v1.Service))
        pods = Informer(client.resource(core_v1.Pod), field_selector=f"spec.nodeName={name}")
        runtime = Runtime(ground.engine, defaults(options))
        pod_network = network.PodNetwork(ground.engine, [cidr for _, cidr in ground.ranges], ground.mtu)
        keeper = node_keeper(options, ground, client, nodes, recorder, runtime, pod_network)
        static = static_pods(options, client, pods, name, lambda: keeper.node)
        statuses = StatusManager(client, lambda pod: static.in_api(pod) if static else pod)
        parts = shared_parts(options, ground, client, checks, services, recorder, runtime, statuses, pod_network)
        workers = PodWorkers(pods, services, parts, lambda: keeper.node, static)
        stats = Stats(name, ground.identity.machine.memory, options.runtime.root_dir, runtime.containers)
        collector = image_collector(options, runtime, workers, recorder, keeper)
        evictor = Evictor(
            ground.evict_at, workers, stats, collector, runtime, parts.dirs, recorder, lambda: keeper.node
        )
        volume_limits = VolumeLimits(workers, parts.dirs, recorder)
        introduce(runtime, pod_network, keeper, workers, evictor)
        metrics.register(name, runtime.containers)
        health = Health()
        health.add("docker", lambda: check(runtime.fault), live=False)
        listening = servers(options, Backend(runtime, workers.pods, stats, workers.find), health)
        lease, routes = NodeLease(client, name, lambda: keeper.node), NodeRoutes(nodes, name)
        loops = (
            recorder.run, nodes.run, services.run, pods.run, runtime.run, pod_network.run, statuses.run, keeper.run,
            lease.run, workers.run, collector.run, stats.run, evictor.run, volume_limits.run, routes.run,
            *(one.run for one in listening),
        )  # fmt: skip
        async with asyncio.TaskGroup() as tasks:
            for loop in loops:
                tasks.create_task(loop(), name=loop.__qualname__)
            await pods.synced.wait()
            daemon.freeze()


@dataclass(frozen=True)
class Ground:
    """What the kubelet finds before it talks to anybody."""

    identity: Identity
    address: NodeAddress
    node: NodeContext
    engine: Engine
    ranges: Sequence[tuple[str, IPv4Network]]
    """The cluster's, with the flags that name them."""
    mtu: int
    evict_at: Sequence[Threshold]
    warnings: Sequence[tuple[str, str]]
    """What people should know of the machine: reasons and messages of events."""


def prepare(options: KubeletOptions) -> Ground:
    """Look at the machine, and make it fit for pods as far as that is ours. Raises what keeps a node from being one."""
    identity, address = identify(options), NodeAddress(options.node.node_ip)
    limits.raise_open_files()
    ranges = cluster_ranges(options)
    network.check_overlaps(ranges, iproute.addresses(), iproute.routes())
    network.enable_forwarding()
    return Ground(
        identity,
        address,
        context(options, identity, address),
        Engine(options.runtime.docker_endpoint),
        ranges,
        options.network.network_plugin_mtu or iproute.mtu_of(address.device),
        thresholds.parse(options.resources.eviction_hard),
        limits.shortages(limits.read_limits(), identity.max_pods),
    )


def node_keeper(
    options: KubeletOptions,
    ground: Ground,
    client: Client,
    nodes: Informer[core_v1.Node],
    recorder: EventRecorder,
    runtime: Runtime,
    pod_network: network.PodNetwork,
) -> NodeKeeper:
    return NodeKeeper(
        client,
        ground.identity,
        nodes,
        recorder,
        runtime,
        ground.address,
        lambda: pod_network.fault,
        pod_network.assign,
        frequency=options.node.node_status_update_frequency,
        register=options.node.register_node,
        warnings=ground.warnings,
        before_first_report=(runtime.containers.synced, pod_network.looked),
    )


def shared_parts(
    options: KubeletOptions,
    ground: Ground,
    client: Client,
    checks: Checks,
    services: Informer[core_v1.Service],
    recorder: EventRecorder,
    runtime: Runtime,
    statuses: StatusManager,
    pod_network: network.PodNetwork,
) -> Parts:
    objects, node = ApiObjects(client), ground.node
    return Parts(
        runtime=runtime,
        starter=ContainerStarter(runtime, recorder, services, objects, node),
        volumes=Volumes(objects, node.host_ips, node.allocatable),
        statuses=statuses,
        checks=checks,
        recorder=recorder,
        pods=client.resource(core_v1.Pod),
        dirs=PodDirs(options.runtime.root_dir),
        node=node,
        sync_frequency=options.node.sync_frequency,
        network_fault=lambda: pod_network.fault,
    )


def introduce(
    runtime: Runtime, pod_network: network.PodNetwork, keeper: NodeKeeper, workers: PodWorkers, evictor: Evictor
) -> None:
    """Who hears of whose changes."""
    for listener in (keeper.wake, pod_network.check):
        runtime.on_health(listener)
    for listener in (keeper.wake, workers.wake_all):
        pod_network.on_change(listener)
    keeper.watch_pressures(lambda: evictor.pressures)
    keeper.on_address(workers.wake_all)
    evictor.on_change(keeper.wake)
    workers.refuse_under_pressure(
        lambda pod: eviction.refusal(pod, evictor.pressures, qos.qos_class(pod) == "BestEffort")
    )


def identify(options: KubeletOptions) -> Identity:
    hostname = socket.gethostname()
    options.runtime.root_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    return Identity(
        name=(options.node.hostname_override or hostname).lower(),
        hostname=options.node.hostname_override or hostname,
        port=options.serving.port,
        max_pods=options.node.max_pods,
        machine=read_machine(options.runtime.root_dir),
        labels=options.node.node_labels,
        reserved=(options.resources.system_reserved, options.resources.kube_reserved, eviction_reserve(options)),
    )


def eviction_reserve(options: KubeletOptions) -> dict[str, Quantity]:
    """Memory that pods never get, because they would be evicted before they had it."""
    evict_at = thresholds.parse(options.resources.eviction_hard)
    return {"memory": sum(one.amount for one in evict_at if one.signal == "memory.available")}


def context(options: KubeletOptions, identity: Identity, address: NodeAddress) -> NodeContext:
    has = allocatable(identity)
    return NodeContext(
        name=identity.name,
        hostname=identity.hostname,
        address=address,
        memory=identity.machine.memory,
        lowest_oom_score=qos.lowest_score(),
        resolver=etc_files.parse_resolver(etc_files.read(options.network.resolv_conf)),
        hosts=etc_files.read(etc_files.HOSTS),
        unsafe_sysctls=options.resources.allowed_unsafe_sysctls,
        apparmor=security.APPARMOR.exists(),
        seccomp_root=options.runtime.root_dir / "seccomp",
        cluster_dns=tuple(map(str, options.network.cluster_dns)),
        cluster_domain=options.network.cluster_domain,
        allocatable=lambda: has,
    )


def defaults(options: KubeletOptions) -> Defaults:
    runtime = options.runtime
    return Defaults(
        network.NAME, runtime.pod_infra_container_image, runtime.container_log_max_size, runtime.container_log_max_files
    )


def static_pods(
    options: KubeletOptions,
    client: Client,
    pods: Informer[core_v1.Pod],
    name: str,
    node: Callable[[], core_v1.Node | None],
) -> StaticPods | None:
    folder = options.node.pod_manifest_path
    return StaticPods(folder, options.node.file_check_frequency, client, pods, name, node) if folder else None


def image_collector(
    options: KubeletOptions, runtime: Runtime, workers: PodWorkers, recorder: EventRecorder, keeper: NodeKeeper
) -> ImageCollector:
    gc = options.runtime
    policy = Policy(gc.image_gc_high_threshold, gc.image_gc_low_threshold, gc.minimum_image_ttl_duration)

    def notice(reason: str, message: str) -> None:
        if keeper.node is not None:
            recorder.event(keeper.node, "Warning", reason, message)

    return ImageCollector(runtime, policy, workers.images, notice)


def cluster_ranges(options: KubeletOptions) -> list[tuple[str, IPv4Network]]:
    named = (
        ("--cluster-cidr", options.network.cluster_cidr),
        ("--service-cluster-ip-range", options.network.service_cluster_ip_range),
    )
    return [(name, cidr) for name, cidr in named if isinstance(cidr, IPv4Network)]


def servers(options: KubeletOptions, backend: Backend, health: Health) -> list[Server]:
    serving = options.serving
    plain = Server(daemon_app(health), [(str(serving.healthz_bind_address), serving.healthz_port)])
    if serving.tls_cert_file is None or serving.tls_private_key_file is None:
        return [plain]
    tls = TLS(serving.tls_cert_file, serving.tls_private_key_file, serving.client_ca_file)
    return [plain, Server(kubelet_app(backend, health), [(str(serving.address), serving.port)], tls=tls)]


def check(fault: str) -> None:
    if fault:
        raise Unhealthy(fault)


if __name__ == "__main__":
    main()
