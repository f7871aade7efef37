"""The order in which a new cluster gets its objects.

Namespaces, this server's lease, the service ``kubernetes`` and its endpoints are kept up to date all the time. The default
objects are created or updated once per start: what an administrator deletes afterwards stays deleted
until then, as in Kubernetes.
"""

import asyncio
import logging
from ipaddress import IPv4Network
from typing import Final

from apimachinery import errors
from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.networking_v1 import ServiceCIDR, ServiceCIDRSpec
from apiserver.bootstrap import flowcontrol, priorityclasses, rbac
from apiserver.bootstrap.apiservices import LocalServices
from apiserver.bootstrap.endpoints import ServerEndpoints
from apiserver.bootstrap.objects import Objects
from apiserver.registry.resources import Resources

log = logging.getLogger(__name__)

NAMESPACES: Final = ("kube-system", "default", "kube-public", "kube-node-lease")
_EVERY: Final = 10.0  # s


class Bootstrap:
    """Creates these objects, and again if they are deleted."""

    def __init__(self, resources: Resources, services: IPv4Network, address: str, port: int) -> None:
        self._objects, self._services = Objects(resources), services
        self._endpoints = ServerEndpoints(self._objects, services, address, port)
        self._local = LocalServices(self._objects)
        self.has_defaults = False
        """Whether the default objects are there, among them the roles of everybody whom RBAC lets in."""

    async def run(self) -> None:
        """Check every few seconds until cancelled."""
        while True:
            try:
                await self._sync()
            except errors.ApiError as fault:
                log.info("bootstrap: %s; will retry", fault)
                await asyncio.sleep(0.5)
                continue
            await asyncio.sleep(_EVERY)

    async def leave(self) -> None:
        """Take this apiserver out of the endpoints: it is about to stop."""
        await self._endpoints.leave()

    async def _sync(self) -> None:
        for name in NAMESPACES:
            await self._objects.ensure(v1.Namespace(metadata=ObjectMeta(name=name)))
        await self._endpoints.sync()
        if not self.has_defaults:
            await priorityclasses.make(self._objects)
            await rbac.make(self._objects)
            await flowcontrol.make(self._objects)
            await self._service_range()
            self.has_defaults = True
        await self._local.sync()  # groups may be added at any time

    async def _service_range(self) -> None:
        """The range of service addresses, as an object."""
        spec = ServiceCIDRSpec(cidrs=[str(self._services)])
        await self._objects.ensure(ServiceCIDR(metadata=ObjectMeta(name="kubernetes"), spec=spec))
