"""Network policies, resolved to addresses: which pods are isolated, and which rules let peers through. Pure.

Sets are named after what defines them, not after their members or the policy: a pod that comes or goes changes sets and
no rule, and policies that select the same pods share a set.

What the API accepts is taken as it is. Addresses go into commands of the host: what is not an IPv4 address, or lies
outside of the pod CIDR of the pod's node, is left out.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network, collapse_addresses
from typing import Literal

from apimachinery import meta
from apimachinery.core import containers, nodes, pods
from apimachinery.selectors import LabelSelector, from_label_selector
from apimachinery.types import core_v1, meta_v1, networking_v1
from kube_proxy.dataplane.messages import Policies, PolicyRule

Direction = Literal["ingress", "egress"]
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Member:
    """A pod that policies can select."""

    namespace: str
    address: str
    node: str
    labels: Mapping[str, str]
    ports: tuple[tuple[str, str, int], ...]
    """Name, protocol and number of its named ports."""


@dataclass(frozen=True)
class PortMatch:
    protocol: str | None = None
    first: int = 0
    last: int = 0
    name: str = ""
    """Of a named port, whose number depends on the pod."""


def member(pod: core_v1.Pod) -> Member | None:
    """None for a pod without an address of its own: on the host's network, not started, ended."""
    if pod.spec.host_network or not pod.status.pod_ip or pods.is_terminal(pod):
        return None
    return Member(
        meta.namespace_of(pod),
        pod.status.pod_ip,
        pod.spec.node_name or "",
        pod.metadata.labels or {},
        tuple(
            (port.name, port.protocol or "TCP", port.container_port)
            for container in containers.long_running(pod)
            for port in container.ports or ()
            if port.name
        ),
    )


@lru_cache(maxsize=65536)
def is_pod_address(address: str, pod_cidr: str) -> bool:
    """Whether it is an IPv4 address, in the CIDR if there is one."""
    try:
        return IPv4Address(address) in IPv4Network(pod_cidr or "0.0.0.0/0")
    except ValueError:
        return False


def is_cidr(text: str) -> bool:
    try:
        return IPv4Network(text).prefixlen > 0
    except ValueError:
        return False


def plan(
    policies: Sequence[networking_v1.NetworkPolicy],
    members: Iterable[Member],
    namespaces: Iterable[core_v1.Namespace],
    cluster: Iterable[core_v1.Node],
    own: str = "",
) -> Policies | None:
    """None where there are no policies. ``own`` is the name of this node."""
    if not policies:
        return None
    machines = [*cluster]
    pod_cidrs = {meta.name_of(node): node.spec.pod_cidr or "" for node in machines}
    labels = {meta.name_of(namespace): namespace.metadata.labels or {} for namespace in namespaces}
    everyone = [pod for pod in members if is_pod_address(pod.address, pod_cidrs.get(pod.node, ""))]
    planner = _Planner(everyone, labels)
    for policy in sorted(policies, key=meta.key_of):
        planner.add(policy)
    own_range = pod_cidrs.get(own, "")
    return planner.policies(frozenset(node_addresses(machines)), own_range if is_cidr(own_range) else "")


def node_addresses(cluster: Iterable[core_v1.Node]) -> Iterator[str]:
    """All addresses from which a node's own connections come: its own, that of the pods' bridge, loopback."""
    yield LOOPBACK
    for node in cluster:
        address = nodes.address(node, "InternalIP")
        if is_pod_address(address, ""):
            yield address
        try:
            yield str(IPv4Network(node.spec.pod_cidr or "").network_address + 1)
        except (AddressValueError, ValueError):  # it has no CIDR yet
            continue


def block_networks(block: networking_v1.IPBlock) -> tuple[str, ...]:
    """The networks of a block without its exceptions; none for IPv6, which pods do not have."""
    try:
        remaining = [IPv4Network(block.cidr, strict=False)]
        for text in block.except_ or ():
            hole = IPv4Network(text, strict=False)
            remaining = [part for network in remaining for part in _without(network, hole)]
    except ValueError:
        return ()
    return tuple(map(str, collapse_addresses(remaining)))


def _without(network: IPv4Network, hole: IPv4Network) -> Iterable[IPv4Network]:
    if not network.overlaps(hole):
        return (network,)
    return () if network.subnet_of(hole) else network.address_exclude(hole)


class _Planner:
    def __init__(self, everyone: Sequence[Member], namespace_labels: Mapping[str, Mapping[str, str]]) -> None:
        self._namespace_labels = namespace_labels
        by_namespace: dict[str, list[Member]] = {}
        for pod in everyone:
            by_namespace.setdefault(pod.namespace, []).append(pod)
        self._by_namespace = {namespace: _ByLabel(pods) for namespace, pods in by_namespace.items()}
        self._everyone = everyone
        self._sets: dict[str, Sequence[Member]] = {}
        self._blocks: dict[str, tuple[str, ...]] = {}
        self._isolated: dict[Direction, set[str]] = {"ingress": set(), "egress": set()}
        self._restricted: set[Direction] = set()
        self._rules: dict[PolicyRule, None] = {}
        """In order, each once."""

    def add(self, policy: networking_v1.NetworkPolicy) -> None:
        namespace, spec = meta.namespace_of(policy), policy.spec
        # An empty selector selects all pods, also where a policy was written without one.
        selected = self._pods(spec.pod_selector or meta_v1.LabelSelector(), namespace)
        addresses = {pod.address for pod in self._sets[selected]}
        if "Ingress" in (spec.policy_types or ()):
            self._isolated["ingress"] |= addresses
            self._restricted.add("ingress")
            for ingress in spec.ingress or ():
                self._add_rule("ingress", selected, namespace, ingress.from_, ingress.ports)
        if "Egress" in (spec.policy_types or ()):
            self._isolated["egress"] |= addresses
            self._restricted.add("egress")
            for egress in spec.egress or ():
                self._add_rule("egress", selected, namespace, egress.to, egress.ports)

    def policies(self, node_addresses: frozenset[str], own_range: str) -> Policies:
        return Policies(
            isolated={direction: frozenset(addresses) for direction, addresses in self._isolated.items()},
            nodes=node_addresses,
            sets={name: frozenset(pod.address for pod in pods) for name, pods in self._sets.items()},
            blocks=self._blocks,
            rules=tuple(self._rules),
            own_range=own_range,
            pods=frozenset(pod.address for pod in self._everyone),
            restricted=tuple(sorted(self._restricted)),
        )

    def _add_rule(
        self,
        direction: Direction,
        selected: str,
        namespace: str,
        peers: Sequence[networking_v1.NetworkPolicyPeer] | None,
        ports: Sequence[networking_v1.NetworkPolicyPort] | None,
    ) -> None:
        for peer in [self._peer(peer, namespace) for peer in peers] if peers else [None]:
            for match in map(_port_match, ports) if ports else [PortMatch()]:
                if match.name:
                    self._add_named(direction, selected, peer, match)
                else:
                    self._allow(PolicyRule(direction, selected, peer, match.protocol, match.first, match.last))

    def _allow(self, rule: PolicyRule) -> None:
        self._rules[rule] = None

    def _add_named(self, direction: Direction, selected: str, peer: str | None, match: PortMatch) -> None:
        """One rule for each number that the name has among the pods that serve it."""
        servers = self._sets[selected] if direction == "ingress" else self._members_of(peer)
        by_number: dict[int, list[Member]] = {}
        for pod in servers:
            for name, protocol, number in pod.ports:
                if (name, protocol) == (match.name, match.protocol):
                    by_number.setdefault(number, []).append(pod)
        base = selected if direction == "ingress" else peer or "everyone"
        for number, serving in sorted(by_number.items()):
            named = _name(f"{base} {match.protocol} {match.name}={number}")
            self._sets[named] = serving
            pair = (named, peer) if direction == "ingress" else (selected, named)
            self._allow(PolicyRule(direction, *pair, match.protocol, number, number))

    def _members_of(self, peer: str | None) -> Sequence[Member]:
        if peer is None:
            return self._everyone
        if peer in self._sets:
            return self._sets[peer]
        networks = [IPv4Network(text) for text in self._blocks[peer]]
        return [pod for pod in self._everyone if any(IPv4Address(pod.address) in network for network in networks)]

    def _peer(self, peer: networking_v1.NetworkPolicyPeer, namespace: str) -> str:
        if peer.ip_block is not None:
            networks = block_networks(peer.ip_block)
            name = _name("block " + " ".join(networks))
            self._blocks[name] = networks
            return name
        selector = peer.pod_selector or meta_v1.LabelSelector()
        if peer.namespace_selector is None:
            return self._pods(selector, namespace)
        return self._pods_of_namespaces(selector, peer.namespace_selector)

    def _pods(self, selector: meta_v1.LabelSelector, namespace: str) -> str:
        parsed = from_label_selector(selector)
        pods = self._by_namespace.get(namespace)
        return self._set(f"pods {namespace} {_identity(parsed)}", lambda: pods.matching(parsed) if pods else ())

    def _pods_of_namespaces(self, selector: meta_v1.LabelSelector, of: meta_v1.LabelSelector) -> str:
        parsed, among = from_label_selector(selector), from_label_selector(of)

        def select() -> list[Member]:
            return [
                pod
                for namespace, pods in self._by_namespace.items()
                if namespace in self._namespace_labels and among.matches(self._namespace_labels[namespace])
                for pod in pods.matching(parsed)
            ]

        return self._set(f"namespaces {_identity(among)} pods {_identity(parsed)}", select)

    def _set(self, definition: str, select: Callable[[], Sequence[Member]]) -> str:
        name = _name(definition)
        if name not in self._sets:
            self._sets[name] = select()
        return name


class _ByLabel:
    """The pods of a namespace; a selector that asks for values looks only at the pods that have them."""

    def __init__(self, everyone: Sequence[Member]) -> None:
        self._everyone = everyone
        self._having: dict[tuple[str, str], list[Member]] = {}
        for pod in everyone:
            for pair in pod.labels.items():
                self._having.setdefault(pair, []).append(pod)

    def matching(self, selector: LabelSelector) -> Sequence[Member]:
        candidates = self._everyone
        if not selector.requirements:
            return candidates
        for term in selector.requirements:
            if term.operator == "In":
                candidates = [pod for value in term.values for pod in self._having.get((term.key, value), ())]
                break
        return [pod for pod in candidates if selector.matches(pod.labels)]


def _identity(selector: LabelSelector) -> str:
    """Equal for selectors of the same requirements."""
    return ";".join(
        sorted(f"{term.key} {term.operator} {','.join(sorted(term.values))}" for term in selector.requirements)
    )


def _name(definition: str) -> str:
    return hashlib.sha256(definition.encode()).hexdigest()[:16]


def _port_match(port: networking_v1.NetworkPolicyPort) -> PortMatch:
    protocol = port.protocol or "TCP"
    if port.port is None:
        return PortMatch(protocol)
    if isinstance(port.port, str):
        return PortMatch(protocol, name=port.port)
    return PortMatch(protocol, port.port, port.end_port or port.port)
