"""Assembles the apiserver from its options, and runs it."""

import asyncio
import logging
import socket
import ssl
from ipaddress import IPv4Address
from typing import Final

from apimachinery.types.core_v1 import Service
from apiserver import identity
from apiserver.admission import Chain
from apiserver.admission.plugins import plugins
from apiserver.app import Application
from apiserver.authentication.authenticators import Union
from apiserver.authorization import AlwaysAllow, Authorizer
from apiserver.bootstrap import Bootstrap
from apiserver.handlers.discovery import Discovery
from apiserver.handlers.endpoint import ApiEndpoint
from apiserver.handlers.openapi import OpenAPI
from apiserver.handlers.proxying import Connectors
from apiserver.options import ApiserverOptions, EtcdOptions, IdentityOptions, KubeletOptions
from apiserver.registry.builtin import builtin, reviewing
from apiserver.registry.core.component_health import checks
from apiserver.registry.core.componentstatuses import component_statuses
from apiserver.registry.core.repair import ClaimsRepair
from apiserver.registry.metrics.usage import usage
from apiserver.registry.resources import Resources
from apiserver.resource_metrics import ResourceMetrics
from apiserver.storage import Etcd, EtcdConfig, Storage
from component_base.daemon import freeze
from component_base.health import Health, Unhealthy
from component_base.serving import TLS, Server

log = logging.getLogger(__name__)

_LEAVE_SECONDS: Final = 1.0


async def serve(options: ApiserverOptions, listener: socket.socket | None = None) -> None:
    """Run until cancelled.

    Args:
        listener: where to serve, if other processes do so too; otherwise the address in the options.
    """
    etcd = Etcd(_etcd(options.etcd))
    storage = Storage(etcd, options.etcd.etcd_compaction_interval)
    resources, admission = Resources(), Chain()
    ports = range(options.services.service_node_port_range.first, options.services.service_node_port_range.last + 1)
    authenticator, authorizer = Union(identity.authenticators(options.identity, resources)), AlwaysAllow()
    issuer = identity.token_issuer(options.identity)
    rows = builtin(resources, options.services.service_cluster_ip_range, ports, issuer)
    for info in (*rows, *reviewing(authenticator, authorizer), component_statuses(checks(storage.check))):
        resources.add(info.serve(storage, admission))
    connectors = Connectors(resources, _kubelet_tls(options.kubelets))
    for info in usage(ResourceMetrics(resources, connectors.kubelets)):
        resources.add(info.serve(storage, admission))
    disabled, mounts_tokens = options.admission.disable_admission_plugins, issuer is not None
    admission.use(plugins(resources, disabled, mounts_tokens=mounts_tokens))  # they read what is stored
    advertised = str(options.serving.advertise_address or _own_address())
    port = options.serving.secure_port
    bootstrap = Bootstrap(resources, options.services.service_cluster_ip_range, advertised, port)
    app = _application(
        options.identity, resources, storage, f"{advertised}:{port}", authenticator, authorizer, connectors
    )
    tls = TLS(options.serving.tls_cert_file, options.serving.tls_private_key_file, options.identity.client_ca_file)
    server = Server(app, [listener or (str(options.serving.bind_address), port)], tls=tls)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(storage.run(), name="storage")
            tasks.create_task(server.run(), name="server")
            await storage.wait_ready()
            freeze()
            tasks.create_task(bootstrap.run(), name="bootstrap")
            tasks.create_task(ClaimsRepair(resources.store(Service)).run(), name="claims-repair")
    finally:
        await _leave(bootstrap)
        await etcd.close()


async def _leave(bootstrap: Bootstrap) -> None:
    """Deregister this apiserver; if etcd is unavailable, its lease will expire instead."""
    try:
        async with asyncio.timeout(_LEAVE_SECONDS):
            await bootstrap.leave()
    except Exception as fault:  # no failure may keep the process from ending
        log.info("bootstrap: could not leave the endpoints: %s", fault)


def _application(
    options: IdentityOptions,
    resources: Resources,
    storage: Storage,
    address: str,
    authenticator: Union,
    authorizer: Authorizer,
    connectors: Connectors,
) -> Application:
    endpoint = ApiEndpoint(resources, Discovery(resources, address), authorizer, connectors)
    published = identity.openid(options, address)
    more = published.routes() if published is not None else []
    return Application(endpoint, OpenAPI(resources), _health(resources, storage), authenticator, authorizer, more)


def _health(resources: Resources, storage: Storage) -> Health:
    health = Health()
    health.add("etcd", storage.check, live=False)

    def caches() -> None:
        behind = [served.info.resource.plural for served in resources if not served.is_loaded]
        if behind:
            raise Unhealthy(f"not loaded: {', '.join(behind)}")

    health.add("informer-sync", caches, live=False)
    return health


def _etcd(options: EtcdOptions) -> EtcdConfig:
    return EtcdConfig(
        endpoints=tuple(options.etcd_servers),
        ca_file=_text(options.etcd_cafile),
        cert_file=_text(options.etcd_certfile),
        key_file=_text(options.etcd_keyfile),
    )


def _text(path: object) -> str | None:
    return str(path) if path is not None else None


def _kubelet_tls(options: KubeletOptions) -> ssl.SSLContext | None:
    if options.kubelet_client_certificate is None:
        return None
    context = ssl.create_default_context(cafile=_text(options.kubelet_certificate_authority))
    context.load_cert_chain(options.kubelet_client_certificate, options.kubelet_client_key)
    return context


def _own_address() -> IPv4Address:
    """The address from which this machine would reach the outside. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return IPv4Address(probe.getsockname()[0])
        except OSError:
            return IPv4Address("127.0.0.1")
