"""kube-proxy: flags and wiring."""

import asyncio
import sys
from ipaddress import IPv4Network

from apimachinery.types import core_v1
from component_base import daemon
from component_base.flags import parse
from component_base.serving import Server
from kube_client import Client, EventRecorder, Informer, load_config
from kube_proxy import metrics, ports, service_range
from kube_proxy.dataplane.pool import WorkerPool
from kube_proxy.iptables import Tables, TablesError
from kube_proxy.options import KubeProxyOptions
from kube_proxy.proxier import Proxier, Settings
from kube_proxy.server import health_app, metrics_app
from kube_proxy.service_range import RouteError


def main() -> None:
    options = parse(KubeProxyOptions, "kube-proxy", "Makes every service's address answer on this node.")
    if options.cleanup:
        sys.exit(asyncio.run(cleanup()))
    daemon.run("kube-proxy", run, options)


async def run(options: KubeProxyOptions) -> None:
    proxy, serving = options.proxy, options.serving
    local = ports.local_port_range()
    proxy_ports = proxy.proxy_port_range or ports.default_proxy_ports(local)
    ports.warn_of_overlaps(proxy_ports, local)
    pool = WorkerPool(
        proxy.workers,
        on_counters=metrics.add,
        on_restart=metrics.worker_restarts.inc,
        log_flags=(f"--logging-format={options.logging_format}", f"--v={options.v}"),
    )
    metrics.show_open_connections(lambda: pool.open_connections)
    config = load_config(options.kubeconfig)
    async with Client(config, user_agent="kube-proxy") as client:
        services = Informer(client.resource(core_v1.Service))
        endpoints = Informer(client.resource(core_v1.Endpoints))
        recorder = EventRecorder(client, component="kube-proxy", host=options.hostname_override)
        with Tables() as tables:
            settings = Settings(
                service_range=proxy.service_cluster_ip_range,
                node_port_addresses=tuple(n for n in proxy.nodeport_addresses if isinstance(n, IPv4Network)),
                sync_period=proxy.iptables_sync_period,
            )
            taken = ports.Ports(str(proxy.bind_address), proxy_ports)
            proxier = Proxier(services, endpoints, tables, pool, taken, recorder, settings)
            daemon.freeze()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(pool.run(), name="workers")
                tasks.create_task(proxier.run(), name="proxier")
                tasks.create_task(services.run(), name="services")
                tasks.create_task(endpoints.run(), name="endpoints")
                tasks.create_task(recorder.run(), name="events")
                tasks.create_task(Server(health_app(proxier), [serving.healthz_bind_address]).run(), name="healthz")
                tasks.create_task(Server(metrics_app(), [serving.metrics_bind_address]).run(), name="metrics")


async def cleanup() -> int:
    """Remove all that kube-proxy leaves in the kernel; the process's exit status."""
    try:
        with Tables() as tables:
            await tables.cleanup()
        await service_range.remove()
    except (TablesError, RouteError) as exc:
        print(f"kube-proxy: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    main()
