"""Nodes: machines with a kubelet."""

from collections.abc import Iterator

from apimachinery import codec, meta, names
from apimachinery.core import nodes
from apimachinery.core.well_known import NODE_ROLE_PREFIX
from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import DaemonEndpoint, Node, NodeDaemonEndpoints, NodeStatus
from apiserver.registry import columns, field_rules
from apiserver.registry.core.affinity_validation import EFFECTS
from apiserver.registry.core.resources_validation import canonical, validate_amounts
from apiserver.registry.status_rules import STATUS
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource, proxy


class NodeStrategy(Strategy[Node]):
    def default(self, obj: Node) -> None:
        if obj.spec.pod_cidr and (obj.spec.pod_cidrs or [""])[0] != obj.spec.pod_cidr:
            obj.spec.pod_cidrs = [obj.spec.pod_cidr]  # the older field comes first
        elif obj.spec.pod_cidrs:
            obj.spec.pod_cidr = obj.spec.pod_cidrs[0]
        for amounts in (obj.status.capacity, obj.status.allocatable):
            canonical(amounts)
        if obj.status.allocatable is None and obj.status.capacity is not None:
            obj.status.allocatable = dict(obj.status.capacity)
        endpoints = obj.status.daemon_endpoints = obj.status.daemon_endpoints or NodeDaemonEndpoints()
        endpoints.kubelet_endpoint = endpoints.kubelet_endpoint or DaemonEndpoint()  # Go always writes both

    def prepare_for_update(self, obj: Node, old: Node) -> None:
        obj.status = old.status

    def validate(self, obj: Node) -> Iterator[FieldError]:
        yield from _status_faults(obj.status)
        for i, taint in enumerate(obj.spec.taints or ()):
            path = Path("spec", "taints")[i]
            yield from names.check(path / "key", taint.key, names.qualified_name)
            if taint.effect not in EFFECTS:
                yield (path / "effect").not_supported(taint.effect, EFFECTS)
            if any((other.key, other.effect) == (taint.key, taint.effect) for other in (obj.spec.taints or ())[:i]):
                yield path.duplicate(codec.to_builtins(taint))
        yield from _ranges(obj)

    def validate_update(self, obj: Node, old: Node) -> Iterator[FieldError]:
        """An address range or provider ID cannot change once it is set."""
        for field, after, before in (
            ("podCIDR", obj.spec.pod_cidr, old.spec.pod_cidr),
            ("podCIDRs", obj.spec.pod_cidrs, old.spec.pod_cidrs),
            ("providerID", obj.spec.provider_id, old.spec.provider_id),
        ):
            if before and after != before:
                yield Path("spec", field).forbidden(f"node updates may not change {field} except from empty to valid")


def _status_faults(status: NodeStatus) -> Iterator[FieldError]:
    yield from validate_amounts(STATUS / "capacity", status.capacity)
    yield from validate_amounts(STATUS / "allocatable", status.allocatable)
    for i, address in enumerate(status.addresses or ()):
        path = (STATUS / "addresses")[i]
        if address in (status.addresses or [])[:i]:
            yield path.duplicate(codec.to_builtins(address))
        if address.type in ("InternalIP", "ExternalIP"):
            yield from field_rules.address(path / "address", address.address)


def _ranges(node: Node) -> Iterator[FieldError]:
    """The node's own pod addresses: at most one range of each family."""
    families: list[bool] = []
    path = Path("spec", "podCIDRs")
    for i, text in enumerate(node.spec.pod_cidrs or ()):
        yield from field_rules.cidr(path[i], text)
        families.append(":" in text)
    if len(families) != len(set(families)):
        yield path.invalid(node.spec.pod_cidrs, "may specify no more than one CIDR for each IP family")


class NodeStatusStrategy(StatusStrategy[Node]):
    def validate_update(self, obj: Node, old: Node) -> Iterator[FieldError]:
        yield from super().validate_update(obj, old)
        yield from _status_faults(obj.status)


def _status(node: Node) -> str:
    ready = nodes.condition(node, "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready.status == "True" else "NotReady"]
    if node.spec.unschedulable:
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(node: Node) -> str:
    roles = {
        label.removeprefix(NODE_ROLE_PREFIX) for label in meta.labels_of(node) if label.startswith(NODE_ROLE_PREFIX)
    }
    return columns.joined(sorted(roles))


def _address(node: Node, kind: str) -> str:
    return nodes.address(node, kind) or "<none>"


NODES = StoredResource(
    Node,
    NodeStrategy(),
    singular="node",
    short_names=("no",),
    columns=(
        columns.name(),
        columns.Column("Status", _status),
        columns.Column("Roles", _roles),
        columns.age(),
        columns.Column("Version", lambda node: node.status.node_info.kubelet_version),
        columns.wide("Internal-IP", lambda node: _address(node, "InternalIP")),
        columns.wide("External-IP", lambda node: _address(node, "ExternalIP")),
        columns.wide("OS-Image", lambda node: node.status.node_info.os_image or "<unknown>"),
        columns.wide("Kernel-Version", lambda node: node.status.node_info.kernel_version or "<unknown>"),
        columns.wide("Container-Runtime", lambda node: node.status.node_info.container_runtime_version or "<unknown>"),
    ),
    fields={"spec.unschedulable": lambda node: "true" if node.spec.unschedulable else "false"},
    subresources={
        "status": ObjectSubresource(NodeStatusStrategy(NodeStrategy())),
        "proxy": proxy("NodeProxyOptions"),
    },
)
