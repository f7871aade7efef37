"""Network policies: who may talk to which pods.

Nodes enforce them, and each says with a condition whether its host can: what some do not enforce gets a warning.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence

from apimachinery import meta
from apimachinery.core import conditions
from apimachinery.core.well_known import NETWORK_POLICY_CONDITION
from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import Node
from apimachinery.types.meta_v1 import LabelSelector
from apimachinery.types.networking_v1 import IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort
from apiserver.registry import columns, field_rules
from apiserver.registry.columns import Column
from apiserver.registry.core.pod_validation import PROTOCOLS
from apiserver.registry.field_rules import port_number, port_reference
from apiserver.registry.resources import Resources
from apiserver.registry.store import Store, StoredResource
from apiserver.registry.strategy import Strategy
from apiserver.registry.workloads import SPEC


class NetworkPolicyKind(Strategy[NetworkPolicy]):
    counts_generations = True

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def default(self, obj: NetworkPolicy) -> None:
        spec = obj.spec
        if spec.pod_selector is None:
            spec.pod_selector = LabelSelector()
        if not spec.policy_types:
            spec.policy_types = ["Ingress", "Egress"] if spec.egress else ["Ingress"]
        for rule in (*(spec.ingress or ()), *(spec.egress or ())):
            for port in rule.ports or ():
                port.protocol = port.protocol or "TCP"

    def validate(self, obj: NetworkPolicy) -> Iterator[FieldError]:
        spec = obj.spec
        yield from field_rules.validate_selector(SPEC / "podSelector", spec.pod_selector)
        for i, ingress in enumerate(spec.ingress or ()):
            path = (SPEC / "ingress")[i]
            yield from _ports(path / "ports", ingress.ports or ())
            yield from _peers(path / "from", ingress.from_ or ())
        for i, egress in enumerate(spec.egress or ()):
            path = (SPEC / "egress")[i]
            yield from _ports(path / "ports", egress.ports or ())
            yield from _peers(path / "to", egress.to or ())
        if len(spec.policy_types or ()) > 2:
            yield (SPEC / "policyTypes").invalid(spec.policy_types, "may not specify more than two policyTypes")
            return
        for i, kind in enumerate(spec.policy_types or ()):
            yield from field_rules.required((SPEC / "policyTypes")[i], kind, ("Egress", "Ingress"))

    def warnings(self, obj: NetworkPolicy) -> Iterator[str]:
        served = self._resources.find("", "v1", "nodes")
        if isinstance(served, Store) and served.is_loaded:
            yield from unenforced(node for node in served.all_cached() if isinstance(node, Node))


NAMED = 3
"""How many nodes a warning names."""
REASON_LIMIT = 160
"""Characters of a node's own words in a warning."""


def unenforced(nodes: Iterable[Node]) -> Iterator[str]:
    """That some nodes do not enforce network policies, if so."""
    reasons = {meta.name_of(node): reason for node in nodes if (reason := _fault(node)) is not None}
    if reasons:
        first = sorted(reasons)[:NAMED]
        others = f" and {len(reasons) - len(first)} more" if len(reasons) > len(first) else ""
        yield (
            f"network policies are not enforced on {', '.join(first)}{others}: {reasons[first[0]][:REASON_LIMIT]} "
            f"(see the nodes' condition {NETWORK_POLICY_CONDITION})"
        )


def _fault(node: Node) -> str | None:
    """Why the node does not enforce policies; None if it does."""
    condition = conditions.find(node.status.conditions, NETWORK_POLICY_CONDITION)
    if condition is None:
        return "no kube-proxy has reported that it does"
    return None if condition.status == "True" else condition.message or "no reason is given"


def _ports(path: Path, ports: Sequence[NetworkPolicyPort]) -> Iterator[FieldError]:
    for i, port in enumerate(ports):
        yield from field_rules.one_of(path[i] / "protocol", port.protocol, PROTOCOLS)
        if port.port is not None:
            yield from port_reference(path[i] / "port", port.port)
        if port.end_port is None:
            continue
        if port.port is None:
            yield (path[i] / "endPort").invalid(port.end_port, "may not be specified when `port` is not specified")
        elif isinstance(port.port, str):
            yield (path[i] / "endPort").invalid(port.end_port, "may not be specified when `port` is non-numeric")
        elif port.end_port < port.port:
            yield (path[i] / "endPort").invalid(port.end_port, "must be greater than or equal to `port`")
        else:
            yield from port_number(path[i] / "endPort", port.end_port)


def _peers(path: Path, peers: Sequence[NetworkPolicyPeer]) -> Iterator[FieldError]:
    for i, peer in enumerate(peers):
        yield from field_rules.validate_selector(path[i] / "podSelector", peer.pod_selector)
        yield from field_rules.validate_selector(path[i] / "namespaceSelector", peer.namespace_selector)
        fields = field_rules.set_fields(peer)
        if not fields:
            yield path[i].required("must specify a peer")
        elif peer.ip_block is not None and len(fields) > 1:
            yield path[i].forbidden("may not specify both ipBlock and another peer")
        if peer.ip_block is not None:
            yield from _block(path[i] / "ipBlock", peer.ip_block)


def _block(path: Path, block: IPBlock) -> Iterator[FieldError]:
    if not block.cidr:
        yield (path / "cidr").required()
        return
    outer = _network(block.cidr)
    if outer is None:
        yield (path / "cidr").invalid(block.cidr, _NOT_CIDR)
        return
    for i, text in enumerate(block.except_ or ()):
        inner = _network(text)
        if inner is None:
            yield (path / "except")[i].invalid(text, _NOT_CIDR)
        elif inner.version != outer.version or not _within(inner, outer):
            yield (path / "except")[i].invalid(text, "must be a strict subset of `cidr`")


_NOT_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def _within(inner: Network, outer: Network) -> bool:
    return inner.prefixlen > outer.prefixlen and inner.network_address in outer


def network_policies(resources: Resources) -> StoredResource[NetworkPolicy]:
    """The row; ``resources`` is where the nodes are found once requests come."""
    return StoredResource(
        NetworkPolicy,
        NetworkPolicyKind(resources),
        singular="networkpolicy",
        short_names=("netpol",),
        columns=(
            columns.name(),
            Column("Pod-Selector", lambda obj: field_rules.selector_cell(obj.spec.pod_selector)),
            columns.age(),
        ),
    )
