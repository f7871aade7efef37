"""kube-dns: flags, then wiring."""

import asyncio
import logging
import time
from contextlib import AsyncExitStack

from apimachinery.types import core_v1, discovery_v1
from apimachinery.types.meta_v1 import ObjectMeta
from component_base import daemon
from component_base.flags import parse
from component_base.health import Health
from component_base.serving import Server as HttpServer
from component_base.serving import daemon_app
from kube_client import Client, EventRecorder, Informer, load_config
from kube_client.certificate_expiry import ExpiryReporter
from kube_client.delegation import EndpointAccess
from kube_dns import endpointslices, server
from kube_dns.cluster import Cluster
from kube_dns.encoding import Encoder
from kube_dns.forwarder import Forwarder
from kube_dns.options import KubeDnsOptions
from kube_dns.registration import KEY, Registration
from kube_dns.resolver import Resolver
from kube_dns.tcp import TcpServer
from kube_dns.udp import UdpServer
from kube_dns.upstreams import PORT, Server, Upstreams, own_address
from kube_dns.zone import Zone

NAME = "kube-dns"

log = logging.getLogger(__name__)


async def run(options: KubeDnsOptions) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(load_config(options.kubeconfig), user_agent=NAME))
        services = Informer(client.resource(core_v1.Service))
        slices = Informer(
            client.resource(discovery_v1.EndpointSlice), indexes={endpointslices.BY_SERVICE: endpointslices.index}
        )
        namespaces = Informer(client.resource(core_v1.Namespace))
        place = options.place()
        zone = Zone(options.dns.domain, place.service_ip if place else None)
        cluster = Cluster(zone, services, slices, namespaces)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        forwarder = Forwarder(_upstreams(options), tasks, options.forward.cache_size)
        encoder = Encoder(zone.domain, int(options.dns.ttl), serial=int(time.time()))
        resolver = Resolver(zone, encoder, forwarder, cluster.synced.is_set, options.dns.reverse_ranges)

        await _listen(stack, options, resolver)
        if options.serving.healthz_port:
            address = (str(options.serving.healthz_bind_address), options.serving.healthz_port)
            await stack.enter_async_context(HttpServer(server.app(cluster.synced.is_set), [address]))
        if options.serving.metrics_port:
            host, port = str(options.serving.metrics_bind_address), options.serving.metrics_port
            app = daemon_app(Health())
            await stack.enter_async_context(options.serving.server(app, host, port, EndpointAccess.delegated(client)))
        tasks.create_task(services.run(), name="services")
        tasks.create_task(slices.run(), name="endpointslices")
        tasks.create_task(namespaces.run(), name="namespaces")
        recorder, about = (
            EventRecorder(client, component=NAME),
            core_v1.Service(metadata=ObjectMeta(name=KEY.name, namespace=KEY.namespace)),
        )
        tasks.create_task(recorder.run(), name="events")
        tasks.create_task(ExpiryReporter(recorder, lambda: about, client).run(), name="certificate-expiry")
        if place is not None:
            tasks.create_task(Registration(client, services, place).run(), name="registration")
        await cluster.run()
        daemon.freeze()
        await asyncio.Event().wait()


async def _listen(stack: AsyncExitStack, options: KubeDnsOptions, resolver: Resolver) -> None:
    port = options.dns.dns_port
    for address in map(str, options.dns.dns_bind_address):
        udp = await stack.enter_async_context(UdpServer(address, port, resolver))
        # One number for both, also where the system chose it.
        await stack.enter_async_context(TcpServer(address, udp.port, resolver))
        log.info("answering on %s:%d", address, udp.port)


def _upstreams(options: KubeDnsOptions) -> Upstreams:
    place = options.place()
    ways_here = [Server(place.service_ip, PORT), Server(place.address, place.port)] if place else []
    return Upstreams(
        servers=options.forward.upstream,
        resolv_conf=options.forward.resolv_conf,
        stub_domains=options.forward.stub_domains,
        is_own=own_address([str(address) for address in options.dns.dns_bind_address], options.dns.dns_port, ways_here),
    )


def main() -> None:
    options = parse(KubeDnsOptions, NAME, "Answers the names of the cluster's services, and forwards all others.")
    daemon.run(NAME, run, options)


if __name__ == "__main__":
    main()
