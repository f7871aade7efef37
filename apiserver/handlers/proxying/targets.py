"""The target of a ``proxy`` request: ``[<scheme>:]<name>[:<port>]`` of a node, pod or service, and its address.

Addresses that would lead to this machine itself, its link or a group are refused: otherwise whoever may write a node's
or a pod's status could send this server's requests to what only it may reach.
"""

import ipaddress
import random
import socket
from asyncio import get_running_loop
from dataclasses import dataclass
from typing import Final

from apimachinery import errors
from apimachinery.core.addresses import special
from apimachinery.types.core_v1 import EndpointAddress, Endpoints, Pod, Service
from apiserver.handlers.proxying.upstream import why

_SCHEMES: Final = ("", "http", "https")
_DEFAULT_PORTS: Final = {"https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """What the path names."""

    scheme: str
    name: str
    port: str

    @property
    def is_tls(self) -> bool:
        return self.scheme == "https"


def parse_target(text: str, kind: str) -> Target:
    """``web``, ``web:80``, ``https:web:``, ``http:web:admin``. Raises BadRequest."""
    parts = text.split(":")
    if len(parts) == 1:
        target = Target("", parts[0], "")
    elif len(parts) == 2:
        target = Target("", parts[0], parts[1])
    else:
        target = Target(parts[0], parts[1], ":".join(parts[2:]))
    if target.scheme not in _SCHEMES or not target.name or ":" in target.port:
        raise errors.BadRequest(f'invalid {kind} request "{text}"')
    return target


def port_number(text: str) -> int:
    """Raises BadRequest."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise errors.BadRequest(f'invalid port "{text}"')
    return int(text)


def pod_address(pod: Pod, target: Target) -> tuple[str, int]:
    """Address and port; without a port the first of its containers. Raises BadRequest."""
    if not pod.status.pod_ip:
        raise errors.BadRequest(f"pod {target.name} has no address")
    if target.port:
        return pod.status.pod_ip, port_number(target.port)
    ports = [port.container_port for container in pod.spec.containers for port in container.ports or ()]
    return pod.status.pod_ip, ports[0] if ports else _DEFAULT_PORTS.get(target.scheme, 80)


def service_port_name(service: Service, target: Target) -> str:
    """The name of a port that the target gives by name or number. Raises ServiceUnavailable."""
    if not target.port.isdecimal():
        return target.port
    for port in service.spec.ports or ():
        if port.port == int(target.port):
            return port.name or ""
    raise errors.ServiceUnavailable(f'no service port {target.port} found for service "{target.name}"')


def ready_addresses(endpoints: Endpoints, port_name: str) -> list[tuple[EndpointAddress, int]]:
    """The endpoints that serve the port, in random order."""
    ready = [
        (address, port.port)
        for subset in endpoints.subsets or ()
        for port in subset.ports or ()
        if (port.name or "") == port_name
        for address in subset.addresses or ()
    ]
    random.shuffle(ready)
    return ready


def may_be_reached(address: str) -> bool:
    """Whether an address may be that of a node or pod on another machine."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not special(ip)


async def checked(host: str) -> str:
    """The address behind a host name, or the address itself. Raises BadRequest where it may not be reached.

    The answer is what is dialled, so that a name cannot resolve differently a moment later.
    """
    addresses = [host]
    if not _is_address(host):
        try:
            infos = await get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as fault:
            raise errors.ServiceUnavailable(f"error trying to reach {host}: {why(fault)}") from fault
        addresses = [str(info[4][0]) for info in infos]
    if not addresses or not all(map(may_be_reached, addresses)):
        raise not_allowed()
    return addresses[0]


def is_own(address: str) -> bool:
    """Whether an address is one of this machine's: the kernel then takes it as the source, too. Nothing is sent."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            return ipaddress.ip_address(probe.getsockname()[0]) == ipaddress.ip_address(address)
    except OSError:  # no route leads there
        return False


def not_allowed() -> errors.BadRequest:
    return errors.BadRequest("address not allowed")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
