"""The service ports that are offered now, and what a proxy mode must be able to do with them."""

import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Protocol

from kube_proxy.conntrack import Claim, Claims, Target
from kube_proxy.dataplane.messages import Backend
from kube_proxy.iptables import RuleSet, RuleTables
from kube_proxy.services import ServicePort
from kube_proxy.table import Row


@dataclass(frozen=True)
class Settings:
    service_range: IPv4Network
    node_port_addresses: tuple[IPv4Network, ...] = ()
    sync_period: float = 5.0
    """Seconds within which the node's rules are verified again."""
    cluster_cidr: IPv4Network | None = None
    """Where pods have their addresses; iptables mode masquerades the others."""
    apiserver: tuple[str, int] | None = None
    """Host and port at which we reach the API."""


@dataclass
class ServedPort:
    """A service port that is offered now."""

    spec: ServicePort
    backends: tuple[Backend, ...]
    number: int = 0
    """The data plane's number of it, if there is one."""
    proxy_port: int = 0
    """The same."""
    node_port: socket.socket | None = None

    @property
    def held_node_port(self) -> int | None:
        return self.spec.node_port if self.node_port else None


def with_insider_node_ports(served: Iterable[ServedPort]) -> Iterator[tuple[ServedPort, int | None]]:
    """Every port with the node port at which pods and the node itself reach it, if that is held for its service."""
    ports = [*served]
    held = {(port.spec.protocol, port.held_node_port) for port in ports}
    for port in ports:
        number = port.spec.insider_node_port
        yield port, number if (port.spec.protocol, number) in held else None


def all_claims(served: Iterable[ServedPort], claim_of: Callable[[ServedPort], Claim]) -> Claims:
    """Where UDP flows may lead; of insiders and outsiders, the same destination may lead to different endpoints."""
    claims: dict[Target, Claim] = {}
    for port, insider_node_port in with_insider_node_ports(served):
        spec = port.spec
        if spec.protocol != "UDP":
            continue
        addresses = (*spec.addresses, *spec.guarded, *spec.insider_addresses)
        destinations: list[Target] = [(address, spec.port) for address in addresses]
        destinations += [(None, number) for number in (port.held_node_port, insider_node_port) if number]
        claim = claim_of(port)
        for destination in destinations:
            other = claims.get(destination)
            claims[destination] = Claim(other.targets | claim.targets) if other else claim
    return claims


class Mode(Protocol):
    """Brings a service port's traffic to its endpoints. Calls are in the order in which they are listed here."""

    tables: RuleTables
    backends_are_rules: bool
    """Whether a change of endpoints is a change of rules."""

    async def adopt(self) -> Claims:
        """Take over what an earlier run left; the UDP flows that its rules have caused.

        Raises:
            TablesError
        """
        ...

    async def prepare(self, settings: Settings) -> None:
        """Set up what the rules need of the node besides. Raises CommandError."""
        ...

    def open(self, port: ServedPort) -> None:
        """Be ready for the traffic that the rules will bring. Raises PortsExhausted."""
        ...

    def update(self, port: ServedPort, before: ServicePort) -> None:
        """The port's settings or endpoints have changed."""
        ...

    def rules(self, served: Iterable[ServedPort], settings: Settings) -> RuleSet: ...

    def claims(self, served: Iterable[ServedPort]) -> Claims:
        """Where UDP flows may lead."""
        ...

    def leave(self, port: ServedPort) -> None:
        """The port is given up; its rules are still there."""
        ...

    def close(self, port: ServedPort) -> None:
        """No rule leads to it any more."""
        ...

    def settled(self) -> None:
        """The rules are in place."""
        ...

    def row(self, port: ServedPort) -> Row: ...
