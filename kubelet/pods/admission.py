"""May a pod run on this node? The last word on what the scheduler decided, the only one on pods bound by hand. Pure.

A pod that is refused ends as Failed with the reason; whoever made it makes another elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from apimachinery import meta, quantity
from apimachinery.core import containers
from apimachinery.types import core_v1
from apimachinery.types.base import Quantity
from kubelet.pods.status import End

_PREFIX = "Pod was rejected: "


def refusal(
    pod: core_v1.Pod, others: Sequence[core_v1.Pod], node: core_v1.Node | None, allocatable: Mapping[str, Quantity]
) -> End | None:
    """Why ``pod`` may not run beside ``others``, or None."""
    if len(others) + 1 > quantity.value(allocatable.get("pods", 0)):
        return _out_of("pods", 1, len(others), quantity.value(allocatable.get("pods", 0)))
    wanted = requests(pod)
    for name in sorted(wanted):
        used = sum((requests(one).get(name, Decimal(0)) for one in others), Decimal(0))
        has = quantity.parse(allocatable.get(name, 0))
        if wanted[name] and wanted[name] + used > has:
            scale = 1000 if name == "cpu" else 1
            return _out_of(name, *(int(amount * scale) for amount in (wanted[name], used, has)))
    if node is not None and not matches_node(pod, node):
        return _failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
    taken = {port for one in others for port in host_ports(one)}
    if any(_clashes(port, taken) for port in host_ports(pod)):
        return _failed("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    return None


def requests(pod: core_v1.Pod) -> dict[str, Decimal]:
    """What the pod asks for at once: all that run side by side, or the greediest moment of its start."""
    total: dict[str, Decimal] = {}
    for container in pod.spec.containers:
        _add(total, _asked(container))
    helpers: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in containers.init_containers(pod):
        own = _asked(container)
        if containers.is_sidecar(container):
            _add(helpers, own)
            own = helpers
        else:
            own = {name: own.get(name, Decimal(0)) + helpers.get(name, Decimal(0)) for name in own.keys() | helpers}
        peak = {name: max(peak.get(name, Decimal(0)), own.get(name, Decimal(0))) for name in peak.keys() | own}
    _add(total, helpers)
    result = {name: max(total.get(name, Decimal(0)), peak.get(name, Decimal(0))) for name in total.keys() | peak}
    _add(result, {name: quantity.parse(amount) for name, amount in (pod.spec.overhead or {}).items()})
    return result


def host_ports(pod: core_v1.Pod) -> list[tuple[str, str, int]]:
    """Address (empty for all), protocol and number."""
    return [
        ("" if port.host_ip in (None, "0.0.0.0", "::") else str(port.host_ip), port.protocol or "TCP", port.host_port)
        for container in (*pod.spec.containers, *containers.sidecars(pod))
        for port in container.ports or ()
        if port.host_port
    ]


def matches_node(pod: core_v1.Pod, node: core_v1.Node) -> bool:
    """nodeSelector, and what node affinity requires."""
    labels = meta.labels_of(node)
    if any(labels.get(key) != value for key, value in (pod.spec.node_selector or {}).items()):
        return False
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    return required is None or selects(required, node)


def selects(selector: core_v1.NodeSelector, node: core_v1.Node) -> bool:
    """Whether one of its terms holds for the node."""
    labels, name = meta.labels_of(node), meta.name_of(node)
    return any(_term_matches(term, labels, name) for term in selector.node_selector_terms)


def _term_matches(term: core_v1.NodeSelectorTerm, labels: Mapping[str, str], name: str) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False
    by_label = all(_holds(one, labels) for one in term.match_expressions or ())
    return by_label and all(_holds(one, {"metadata.name": name}) for one in term.match_fields or ())


def _holds(wanted: core_v1.NodeSelectorRequirement, values: Mapping[str, str]) -> bool:
    has, given = values.get(wanted.key), wanted.values or []
    match wanted.operator:
        case "In":
            return has in given
        case "NotIn":
            return has not in given
        case "Exists":
            return has is not None
        case "DoesNotExist":
            return has is None
        case "Gt" | "Lt" if has is not None and len(given) == 1:
            try:
                return int(has) > int(given[0]) if wanted.operator == "Gt" else int(has) < int(given[0])
            except ValueError:
                return False
    return False


def _asked(container: core_v1.Container) -> dict[str, Decimal]:
    limits, requested = container.resources.limits or {}, container.resources.requests or {}
    return {name: quantity.parse(requested.get(name, limits.get(name, 0))) for name in {**limits, **requested}}


def _add(total: dict[str, Decimal], more: Mapping[str, Decimal]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, Decimal(0)) + amount


def _clashes(port: tuple[str, str, int], taken: Iterable[tuple[str, str, int]]) -> bool:
    address, protocol, number = port
    return any(
        (other_protocol, other_number) == (protocol, number) and (not address or not other or address == other)
        for other, other_protocol, other_number in taken
    )


def _out_of(resource: str, requested: int, used: int, capacity: int) -> End:
    amounts = f"{resource}, requested: {requested}, used: {used}, capacity: {capacity}"
    return End(f"OutOf{resource}", f"{_PREFIX}Node didn't have enough resource: {amounts}")


def _failed(predicate: str, message: str) -> End:
    return End(predicate, f"{_PREFIX}Predicate {predicate} failed: {message}")
