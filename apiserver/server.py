"""Assembles the apiserver from its options, and runs it."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any, Final

from apimachinery.types.core_v1 import Service
from apimachinery.types.flowcontrol_v1 import FlowSchema, PriorityLevelConfiguration
from apiserver import authorization, identity
from apiserver.access import Access
from apiserver.admission import Chain, Plugin
from apiserver.admission.escalation import NoEscalation
from apiserver.admission.plugins import Parts as PluginParts
from apiserver.admission.plugins import plugins
from apiserver.app import Application
from apiserver.audit import Auditor
from apiserver.authentication.authenticators import Union
from apiserver.authentication.service_accounts import TokenIssuer
from apiserver.authorization_modes import AuthorizationModes
from apiserver.bootstrap import Bootstrap
from apiserver.bootstrap.certificate_expiry import CertificateExpiry
from apiserver.flowcontrol import FlowController, dump
from apiserver.handlers.discovery import Discovery
from apiserver.handlers.endpoint import ApiEndpoint, Beside
from apiserver.handlers.openapi import OpenAPI
from apiserver.handlers.proxying import Connectors
from apiserver.offload import Lane
from apiserver.options import ApiserverOptions, KubeletOptions
from apiserver.registry.builtin import builtin, reviewing
from apiserver.registry.core.component_health import checks
from apiserver.registry.core.componentstatuses import component_statuses
from apiserver.registry.core.repair import ClaimsRepair
from apiserver.registry.metrics.usage import usage
from apiserver.registry.resource import ResourceInfo
from apiserver.registry.resources import Resources
from apiserver.resource_metrics import ResourceMetrics
from apiserver.storage import Etcd, Space, Storage
from component_base.daemon import freeze
from component_base.health import Health, Unhealthy
from component_base.serving import TLS, Server
from component_base.tls import ClientTLS, RenewedContext

log = logging.getLogger(__name__)

_LEAVE_SECONDS: Final = 1.0


class Parts:
    """What every process of an apiserver has: the connection to etcd, and the resources on it."""

    def __init__(self, options: ApiserverOptions) -> None:
        self.etcd = Etcd(options.etcd.config())
        etcd = options.etcd
        self.storage = Storage(self.etcd, etcd.etcd_compaction_interval, encryption=etcd.encryption())
        self.resources = Resources()
        self.provider = options.oidc.tokens()
        proxy = options.front_proxy.authenticator()
        self.authenticator = Union(identity.authenticators(options.identity, proxy, self.provider, self.resources))
        self.authorizer = authorization.Union()
        self.admission = admission = Chain(self.authorizer)
        issuer = identity.token_issuer(options.identity)
        for info in self._infos(options, issuer):
            self.resources.add(info.serve(self.storage, admission))
        self.kubelet_tls = _kubelet_tls(options.kubelets)
        self._connectors = Connectors(self.resources, self.kubelet_tls, options.serving.secure_port)
        for used in usage(ResourceMetrics(self.resources, self._connectors.kubelets)):
            self.resources.add(used.serve(self.storage, admission))
        self.modes = AuthorizationModes(options.authorization, self.resources)
        self.authorizer.use(self.modes.authorizers)
        admission.use(_plugins(options, self, mounts_tokens=issuer is not None))  # they read what is stored
        self.advertised = str(options.serving.advertise_address or _own_address())
        self.address = f"{self.advertised}:{options.serving.secure_port}"

    def endpoint(self, flows: FlowController | None = None, beside: Beside | None = None) -> ApiEndpoint:
        discovery = Discovery(self.resources, self.address)
        return ApiEndpoint(self.resources, discovery, self.admission, self._connectors, flows, beside)

    def _infos(self, options: ApiserverOptions, issuer: TokenIssuer | None) -> Iterator[ResourceInfo[Any]]:
        node_ports = options.services.service_node_port_range
        ports = range(node_ports.first, node_ports.last + 1)
        yield from builtin(self.resources, options.services.service_cluster_ip_range, ports, issuer)
        yield from reviewing(self.authenticator, self.authorizer)
        yield component_statuses(checks(self.storage.check))


def _plugins(options: ApiserverOptions, parts: Parts, *, mounts_tokens: bool) -> list[Plugin[Any]]:
    admission = options.admission
    needed = PluginParts(
        parts.resources,
        mounts_tokens,
        admission.configurations(),
        parts.authorizer,
        admission.default_not_ready_toleration_seconds,
        admission.default_unreachable_toleration_seconds,
        options.services.service_cluster_ip_range,
    )
    chosen = plugins(needed, admission.enable_admission_plugins, admission.disable_admission_plugins)
    return [*chosen, NoEscalation(parts.modes.policy, parts.authorizer)]


class StoredConfiguration:
    """Flow schemas and priority levels as the caches have them."""

    def __init__(self, resources: Resources) -> None:
        self._schemas, self._levels = resources.store(FlowSchema), resources.store(PriorityLevelConfiguration)
        self._schemas_changed, self._levels_changed = self._schemas.cache.changed_at, self._levels.cache.changed_at

    def version(self) -> tuple[int, int]:
        return self._schemas_changed(), self._levels_changed()

    def schemas(self) -> list[FlowSchema]:
        return self._schemas.all_cached()

    def levels(self) -> list[PriorityLevelConfiguration]:
        return self._levels.all_cached()


async def serve(options: ApiserverOptions, listener: socket.socket | None = None) -> None:
    """Run until cancelled.

    Args:
        listener: where to serve, if other processes do so too; otherwise the address in the options.
    """
    parts = Parts(options)
    resources, storage, port = parts.resources, parts.storage, options.serving.secure_port
    bootstrap = Bootstrap(resources, options.services.service_cluster_ip_range, parts.advertised, port)
    inflight = options.serving.max_requests_inflight + options.serving.max_mutating_requests_inflight
    flows, lane = FlowController(StoredConfiguration(resources), inflight), Lane(options)
    space = Space(parts.etcd, options.etcd.config())
    auditor = options.audit.auditor()
    app = _application(options, parts, flows, lane, _health(parts, bootstrap, space), auditor)
    tls = TLS(
        options.serving.tls_cert_file,
        options.serving.tls_private_key_file,
        options.identity.client_ca_file,
        options.front_proxy.requestheader_client_ca_file,
    )
    server = Server(app, [listener or (str(options.serving.bind_address), port)], tls=tls)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(storage.run(), name="storage")
            tasks.create_task(server.run(), name="server")
            tasks.create_task(parts.modes.run(), name="authorization")
            tasks.create_task(lane.run(), name="offload")
            if auditor is not None:
                tasks.create_task(auditor.run(), name="audit")
            if parts.provider is not None:
                tasks.create_task(parts.provider.run(), name="oidc-keys")
            await storage.wait_ready()
            freeze()
            tasks.create_task(bootstrap.run(), name="bootstrap")
            expiry = CertificateExpiry(resources, server, parts.kubelet_tls)
            tasks.create_task(expiry.run(), name="certificate-expiry")
            tasks.create_task(space.run(), name="etcd-space")
            tasks.create_task(ClaimsRepair(resources.store(Service)).run(), name="claims-repair")
    finally:
        await _leave(bootstrap)
        await parts.etcd.close()


async def _leave(bootstrap: Bootstrap) -> None:
    """Deregister this apiserver; if etcd is unavailable, its lease will expire instead."""
    try:
        async with asyncio.timeout(_LEAVE_SECONDS):
            await bootstrap.leave()
    except Exception as fault:  # no failure may keep the process from ending
        log.info("bootstrap: could not leave the endpoints: %s", fault)


def _application(
    options: ApiserverOptions, parts: Parts, flows: FlowController, lane: Lane, health: Health, auditor: Auditor | None
) -> Application:
    published = identity.openid(options.identity, parts.address)
    return Application(
        Access(
            parts.authenticator,
            parts.authorizer,
            auditor,
            anonymous=options.allows_anonymous,
            identity_headers=options.front_proxy.headers.prefixes,
        ),
        parts.endpoint(flows, lane),
        OpenAPI(parts.resources),
        health,
        flows,
        [*dump.routes(flows), *(published.routes() if published is not None else [])],
    )


def _health(parts: Parts, bootstrap: Bootstrap, space: Space) -> Health:
    health, resources = Health(), parts.resources
    health.add("etcd", parts.storage.check, live=False)
    health.add("etcd-space", space.check, live=False)

    def caches() -> None:
        behind = [served.info.resource.plural for served in resources if not served.is_loaded]
        if behind:
            raise Unhealthy(f"not loaded: {', '.join(behind)}")

    def roles() -> None:
        if not bootstrap.has_defaults:
            raise Unhealthy("not finished")

    health.add("informer-sync", caches, live=False)
    health.add("poststarthook/rbac/bootstrap-roles", roles, live=False)  # until then those who need them are refused
    return health


def _text(path: object) -> str | None:
    return str(path) if path is not None else None


def _kubelet_tls(options: KubeletOptions) -> RenewedContext | None:
    certificate, key = options.kubelet_client_certificate, options.kubelet_client_key
    if certificate is None or key is None:
        return None
    return RenewedContext(ClientTLS(certificate, key, options.kubelet_certificate_authority))


def _own_address() -> IPv4Address:
    """The address from which this machine would reach the outside. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return IPv4Address(probe.getsockname()[0])
        except OSError:
            return IPv4Address("127.0.0.1")
