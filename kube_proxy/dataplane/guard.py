"""Whether network policies let a client reach a backend: the same policies as in the kernel's rules, for what we dial.

A backend's node sees this node's address instead of the client's, so the question must be answered here. Verdicts are
stored until the policies change: the first one about a pair costs as much as the rules about its pods, the next one a
look-up. Without policies there is nothing to ask.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from kube_proxy.dataplane.messages import Backend, Policies, PolicyRule

MAX_VERDICTS = 65536
"""Verdicts are about clients of any address: beyond this many all are dropped."""


class Gate:
    """What the ports of a worker share."""

    __slots__ = ("judge",)

    def __init__(self) -> None:
        self.judge: Judge | None = None
        """None while there are no policies."""


class Judge:
    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        self._blocks = {
            name: tuple((int(network.network_address), int(network.netmask)) for network in map(IPv4Network, block))
            for name, block in policies.blocks.items()
        }
        self._own = IPv4Network(policies.own_range) if policies.own_range and policies.restricted else None
        self._rules: dict[tuple[str, str], tuple[PolicyRule, ...]] = {}
        self._verdicts: dict[tuple[str, str, Backend], bool] = {}

    def allows(self, protocol: str, client: str, backend: Backend) -> bool:
        """Whether a connection of the client to the backend may begin."""
        key = (protocol, client, backend)
        verdict = self._verdicts.get(key)
        if verdict is None:
            if len(self._verdicts) >= MAX_VERDICTS:
                self._verdicts.clear()
            verdict = self._verdicts[key] = self._decide(protocol, client, *backend)
        return verdict

    def denied(self, protocol: str, client: str, backends: Iterable[Backend]) -> list[Backend]:
        return [backend for backend in backends if not self.allows(protocol, client, backend)]

    def _decide(self, protocol: str, client: str, server: str, port: int) -> bool:
        if client == server:  # a pod always reaches itself
            return True
        if client in self._policies.nodes:
            return True
        if self._is_isolated("egress", client) and not self._is_allowed("egress", client, server, protocol, port):
            return False
        if not self._is_isolated("ingress", server):
            return True
        return self._is_allowed("ingress", server, client, protocol, port)

    def _is_isolated(self, direction: Literal["ingress", "egress"], address: str) -> bool:
        policies = self._policies
        if address in policies.isolated[direction]:
            return True
        if self._own is None or direction not in policies.restricted:
            return False
        unknown = address not in policies.pods and address not in policies.nodes
        return unknown and IPv4Address(address) in self._own

    def _is_allowed(
        self, direction: Literal["ingress", "egress"], pod: str, peer: str, protocol: str, port: int
    ) -> bool:
        return any(
            rule.protocol is None
            or (rule.protocol == protocol and (not rule.first_port or rule.first_port <= port <= rule.last_port))
            for rule in self._rules_of(direction, pod)
            if rule.peers is None or self._contains(rule.peers, peer)
        )

    def _rules_of(self, direction: Literal["ingress", "egress"], pod: str) -> Sequence[PolicyRule]:
        rules = self._rules.get((direction, pod))
        if rules is None:
            sets = self._policies.sets
            rules = self._rules[direction, pod] = tuple(
                rule for rule in self._policies.rules if rule.direction == direction and pod in sets[rule.pods]
            )
        return rules

    def _contains(self, name: str, address: str) -> bool:
        block = self._blocks.get(name)
        if block is None:
            return address in self._policies.sets[name]
        number = int(IPv4Address(address))
        return any(number & mask == network for network, mask in block)
