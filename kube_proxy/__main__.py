"""kube-proxy: flags and wiring."""

import asyncio
import contextlib
import logging
import sys
from urllib.parse import urlsplit

from apimachinery.types import core_v1
from apimachinery.types.meta_v1 import ObjectMeta
from component_base import daemon, open_files
from component_base.flags import parse
from component_base.metrics import registry
from component_base.serving import Server
from host_network.commands import CommandError
from host_network.routes import remove_service_route
from kube_client import Client, EventRecorder, Informer, load_config
from kube_client.certificate_expiry import ExpiryReporter
from kube_client.config import Config
from kube_client.delegation import EndpointAccess
from kube_proxy import metrics, ports
from kube_proxy.dataplane.pool import WorkerPool
from kube_proxy.iptables import TablesError
from kube_proxy.iptables.backends import AUTO, clean_up_everywhere, open_tables
from kube_proxy.iptables.chains import IPTABLES_CHAINS, USERSPACE_CHAINS
from kube_proxy.iptables_mode import IptablesMode
from kube_proxy.mode import Mode, Settings
from kube_proxy.network_policy import enforcer
from kube_proxy.network_policy.enforcer import Enforcer
from kube_proxy.network_policy.kernel import Kernel
from kube_proxy.network_policy.kernel import clean_up_everywhere as clean_up_policies
from kube_proxy.network_policy.report import NodeReport
from kube_proxy.options import KubeProxyOptions, ProxyOptions
from kube_proxy.proxier import Proxier
from kube_proxy.server import health_app, metrics_app
from kube_proxy.sources import FromApi
from kube_proxy.statistics import Statistics
from kube_proxy.userspace_mode import UserspaceMode

log = logging.getLogger(__name__)

FILES_WANTED = 1_048_576
"""Open files; every connection takes two."""
FILES_ENOUGH = 64_000
"""What Kubernetes' own proxy asks for."""


def main() -> None:
    options = parse(KubeProxyOptions, "kube-proxy", "Makes every service's address answer on this node.")
    if options.cleanup:
        sys.exit(asyncio.run(cleanup()))
    daemon.run("kube-proxy", run, options)


async def run(options: KubeProxyOptions) -> None:
    proxy, serving = options.proxy, options.serving
    if (limit := open_files.raise_limit(FILES_WANTED)) < FILES_ENOUGH:
        log.warning("only %d files may be open: beyond %d connections clients will have to wait", limit, limit // 2)
    local = ports.local_port_range()
    proxy_ports = proxy.proxy_port_range or ports.default_proxy_ports(local)
    ports.warn_of_overlaps(proxy_ports, local)
    taken = ports.Ports(str(proxy.bind_address), proxy_ports)
    statistics = Statistics()
    registry.register(statistics)
    config = load_config(options.kubeconfig)
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(config, user_agent="kube-proxy"))
        chains = IPTABLES_CHAINS if proxy.proxy_mode == "iptables" else USERSPACE_CHAINS
        tables = await stack.enter_async_context(open_tables(chains, proxy.iptables_backend))
        mode: Mode
        pool: WorkerPool | None = None
        if proxy.proxy_mode == "iptables":
            mode = IptablesMode(tables)
        else:
            pool = worker_pool(options, statistics)
            mode = UserspaceMode(tables, pool, taken, statistics)
        services = Informer(client.resource(core_v1.Service))
        endpoints = FromApi(client, node=options.node)
        recorder = EventRecorder(client, component="kube-proxy", host=options.node)
        proxier = Proxier(services, endpoints, mode, taken, recorder, settings_of(proxy, config))
        statistics.on_failing = proxier.report_failing
        daemon.freeze()
        async with asyncio.TaskGroup() as tasks:
            if pool:
                tasks.create_task(pool.run(), name="workers")
            policies = start_policies(options, client, pool, tasks)
            tasks.create_task(serve(proxier, policies), name="proxier")
            tasks.create_task(services.run(), name="services")
            tasks.create_task(endpoints.run(), name="endpoints")
            tasks.create_task(recorder.run(), name="events")
            node = core_v1.Node(metadata=ObjectMeta(name=options.node, uid=options.node))  # as kubectl looks for events
            tasks.create_task(ExpiryReporter(recorder, lambda: node, client).run(), name="certificate-expiry")
            tasks.create_task(Server(health_app(proxier), [serving.healthz_bind_address]).run(), name="healthz")
            about = metrics_app(proxier, proxy.proxy_mode)
            metrics_server = serving.server(about, *serving.metrics_bind_address, EndpointAccess.delegated(client))
            tasks.create_task(metrics_server.run(), name="metrics")


def start_policies(
    options: KubeProxyOptions, client: Client, pool: WorkerPool | None, tasks: asyncio.TaskGroup
) -> Enforcer | None:
    tables = options.proxy.iptables_backend
    kernel = Kernel("iptables" if tables == AUTO else f"iptables-{tables}")
    report = NodeReport(client, options.node)
    if not options.proxy.network_policy:
        tasks.create_task(enforcer.disable(kernel, report), name="network policies")
        return None
    # In iptables mode the kernel sees all connections.
    policies = Enforcer(client, kernel, report, pool.guard if pool else lambda policies: None)
    tasks.create_task(policies.run(), name="network policies")
    return policies


async def serve(proxier: Proxier, policies: Enforcer | None) -> None:
    """Serve once it is known which connections may begin."""
    if policies:
        await policies.known()
    await proxier.run()


def worker_pool(options: KubeProxyOptions, statistics: Statistics) -> WorkerPool:
    def worker_gone(worker: int) -> None:
        metrics.worker_restarts.inc()
        statistics.worker_gone(worker)

    pool = WorkerPool(
        options.proxy.workers,
        on_counters=metrics.add,
        on_stats=statistics.report,
        on_restart=worker_gone,
        log_flags=(f"--logging-format={options.logging_format}", f"--v={options.v}"),
    )
    metrics.show_open_connections(lambda: pool.open_connections)
    return pool


def settings_of(proxy: ProxyOptions, config: Config) -> Settings:
    server = urlsplit(config.server)
    return Settings(
        service_range=proxy.service_cluster_ip_range,
        node_port_addresses=proxy.nodeport_addresses,
        sync_period=proxy.iptables_sync_period,
        cluster_cidr=proxy.cluster_cidr,
        apiserver=(server.hostname or "", server.port or (443 if server.scheme == "https" else 80)),
    )


async def cleanup() -> int:
    """Remove all that kube-proxy leaves in the kernel; the process's exit status."""
    try:
        await clean_up_everywhere()
        await asyncio.to_thread(clean_up_policies)
        await asyncio.to_thread(remove_service_route)
    except (TablesError, CommandError) as exc:
        print(f"kube-proxy: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    main()
