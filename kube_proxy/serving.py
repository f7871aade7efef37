"""What is offered now, and what a way of leading traffic to endpoints must be able to do."""

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
    """Seconds between two looks at whether the node's rules are still as they should be."""
    cluster_cidr: IPv4Network | None = None
    """Where pods have their addresses; kernel mode hides the addresses of others from endpoints."""


@dataclass
class Serving:
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


def led_in(served: Iterable[Serving]) -> Iterator[tuple[Serving, int | None]]:
    """Each with the node port by which pods and the node itself come to it, if that is held for its service."""
    served = [*served]
    held = {(one.spec.protocol, one.held_node_port) for one in served}
    for one in served:
        number = one.spec.insider_node_port
        yield one, number if (one.spec.protocol, number) in held else None


def all_claims(served: Iterable[Serving], target_of: Callable[[Serving], Claim]) -> Claims:
    """Where UDP flows may lead; insiders and outsiders who ask for the same may be led to different places."""
    claims: dict[Target, Claim] = {}
    for serving, insider_node_port in led_in(served):
        spec = serving.spec
        if spec.protocol != "UDP":
            continue
        asked: list[Target] = [
            (address, spec.port) for address in (*spec.addresses, *spec.guarded, *spec.insider_addresses)
        ]
        asked += [(None, number) for number in (serving.held_node_port, insider_node_port) if number]
        target = target_of(serving)
        for one in asked:
            also = claims.get(one)
            claims[one] = Claim(also.targets | target.targets) if also else target
    return claims


class Mode(Protocol):
    """Brings a service port's traffic to its endpoints. Calls are in the order in which they are listed here."""

    tables: RuleTables
    backends_are_rules: bool
    """Whether a change of endpoints is a change of rules."""

    async def adopt(self) -> Claims:
        """Take over what an earlier run left; the UDP flows that its rules have made.

        Raises:
            TablesError
        """
        ...

    async def prepare(self, settings: Settings) -> None:
        """See to what rules need of the node besides. Raises RouteError."""
        ...

    def open(self, serving: Serving) -> None:
        """Be ready for the traffic that rules will bring. Raises PortsExhausted."""
        ...

    def update(self, serving: Serving, before: ServicePort) -> None:
        """The port's settings or endpoints have changed."""
        ...

    def rules(self, served: Iterable[Serving], settings: Settings) -> RuleSet: ...

    def claims(self, served: Iterable[Serving]) -> Claims:
        """Where UDP flows may lead."""
        ...

    def leave(self, serving: Serving) -> None:
        """The port is given up; its rules still stand."""
        ...

    def close(self, serving: Serving) -> None:
        """No rule leads to it any more."""
        ...

    def settled(self) -> None:
        """The rules are in place."""
        ...

    def row(self, serving: Serving) -> Row: ...
