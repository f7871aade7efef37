"""How a service is reached from outside the cluster: the fields that only some types may have, and what goes with a type.

The rules are those of Kubernetes' service strategy and validation: what the old type needed and the new one may not
have goes by itself, unless the client changed it as well.
"""

from collections.abc import Iterator
from typing import Final

from apimachinery.fields import FieldError, Path
from apimachinery.types.core_v1 import Service, ServiceSpec
from apiserver.registry import field_rules

POLICIES: Final = ("Cluster", "Local")
_SPEC: Final = Path("spec")
_PORT: Final = _SPEC / "healthCheckNodePort"


def is_external(spec: ServiceSpec) -> bool:
    """Whether it is reached from outside, so that there is a policy about that traffic."""
    return spec.type in ("NodePort", "LoadBalancer") or bool(spec.type == "ClusterIP" and spec.external_ips)


def wants_health_port(service: Service) -> bool:
    """Whether external load balancers check which nodes have endpoints."""
    return service.spec.type == "LoadBalancer" and service.spec.external_traffic_policy == "Local"


def default(spec: ServiceSpec) -> None:
    if is_external(spec):
        spec.external_traffic_policy = spec.external_traffic_policy or "Cluster"
    if spec.type == "LoadBalancer" and spec.allocate_load_balancer_node_ports is None:
        spec.allocate_load_balancer_node_ports = True


def carry_over(new: Service, old: Service) -> None:
    """Fields that an update omits are kept, and those that its type does not have are removed."""
    if wants_health_port(old) and wants_health_port(new):
        new.spec.health_check_node_port = new.spec.health_check_node_port or old.spec.health_check_node_port
    elif wants_health_port(old) and new.spec.health_check_node_port == old.spec.health_check_node_port:
        new.spec.health_check_node_port = None
    balanced = old.spec.type == "LoadBalancer" and new.spec.type != "LoadBalancer"
    if is_external(old.spec) and not is_external(new.spec):
        _drop(new.spec, old.spec, "external_traffic_policy")
    if balanced:
        _drop(new.spec, old.spec, "allocate_load_balancer_node_ports")
        _drop(new.spec, old.spec, "load_balancer_class")


def _drop(new: ServiceSpec, old: ServiceSpec, attribute: str) -> None:
    if getattr(new, attribute) == getattr(old, attribute):
        setattr(new, attribute, None)


def validate(service: Service) -> Iterator[FieldError]:
    spec = service.spec
    for field, policy in (
        ("externalTrafficPolicy", spec.external_traffic_policy),
        ("internalTrafficPolicy", spec.internal_traffic_policy),
    ):
        if policy and policy not in POLICIES:
            yield (_SPEC / field).not_supported(policy, POLICIES)
    if spec.external_traffic_policy and not is_external(spec):
        yield (_SPEC / "externalTrafficPolicy").invalid(
            spec.external_traffic_policy, "may only be set for externally-accessible services"
        )
    if spec.health_check_node_port and not wants_health_port(service):
        yield _PORT.invalid(
            spec.health_check_node_port,
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        )
    yield from _balancer(spec)


def _balancer(spec: ServiceSpec) -> Iterator[FieldError]:
    word = "may only be used when `type` is 'LoadBalancer'"
    if spec.type != "LoadBalancer":
        if spec.load_balancer_source_ranges:
            yield (_SPEC / "LoadBalancerSourceRanges").forbidden(word)
        if spec.allocate_load_balancer_node_ports is not None:
            yield (_SPEC / "allocateLoadBalancerNodePorts").forbidden(word)
        if spec.load_balancer_class is not None:
            yield (_SPEC / "loadBalancerClass").forbidden(word)
        return
    for i, text in enumerate(spec.load_balancer_source_ranges or ()):
        yield from field_rules.cidr((_SPEC / "LoadBalancerSourceRanges")[i], text.strip())


def validate_update(new: Service, old: Service) -> Iterator[FieldError]:
    port = new.spec.health_check_node_port
    if wants_health_port(new) and wants_health_port(old) and port != old.spec.health_check_node_port:
        yield _PORT.invalid(port, "field is immutable")
