"""What the status of any kind must look like. Others act on it, so nonsense in a status does as much harm as in a spec.

The rules and their wording are those of Kubernetes' validation of status updates.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1
from apimachinery.types.networking_v1 import IngressLoadBalancerIngress
from apiserver.registry import field_rules

STATUS: Final = Path("status")
CONDITION_STATUSES: Final = ("False", "True", "Unknown")
_PART_OF: Final = (
    ("fully_labeled_replicas", "replicas"),
    ("ready_replicas", "replicas"),
    ("available_replicas", "replicas"),
    ("updated_replicas", "replicas"),
    ("current_replicas", "replicas"),
    ("available_replicas", "ready_replicas"),
)
"""Counts of which the first cannot be greater than the second."""


def validate_status(status: Any) -> Iterator[FieldError]:
    """What holds for every kind: of counts and of conditions."""
    yield from field_rules.counts(STATUS, status)
    for part, whole in _PART_OF:
        some, total = getattr(status, part, None), getattr(status, whole, None)
        if some and whole in status.__struct_fields__ and some > (total or 0):
            path = STATUS / field_rules.wire_name(type(status), part)
            yield path.invalid(some, f"cannot be greater than status.{field_rules.wire_name(type(status), whole)}")
    yield from conditions(STATUS / "conditions", getattr(status, "conditions", None) or ())


def conditions(path: Path, given: Iterable[Any]) -> Iterator[FieldError]:
    """Each condition has a type of its own, and is true, false or unknown."""
    earlier: set[str] = set()
    for i, condition in enumerate(given):
        if not condition.type:
            yield (path[i] / "type").required()
        elif condition.type in earlier:
            yield (path[i] / "type").duplicate(condition.type)
        earlier.add(condition.type)
        yield from field_rules.required(path[i] / "status", condition.status, CONDITION_STATUSES)


def balancer(
    path: Path, ingress: Iterable[v1.LoadBalancerIngress | IngressLoadBalancerIngress] | None
) -> Iterator[FieldError]:
    """The points at which a load balancer takes connections: each an address or a name."""
    for i, point in enumerate(ingress or ()):
        place = (path / "ingress")[i]
        if point.ip:
            yield from field_rules.reachable_address(place / "ip", point.ip)
        if point.hostname:
            yield from names.check(place / "hostname", point.hostname, names.dns_subdomain)
            if field_rules.is_address(point.hostname):
                yield (place / "hostname").invalid(point.hostname, "must be a DNS name, not an IP address")
        mode = point.ip_mode if isinstance(point, v1.LoadBalancerIngress) else None
        if mode is not None and not point.ip:
            yield (place / "ipMode").forbidden("may not be specified when `ip` is not set")
        elif mode is not None:
            yield from field_rules.one_of(place / "ipMode", mode, ("Proxy", "VIP"))


def addresses(path: Path, first: str | None, given: Iterable[v1.PodIP | v1.HostIP] | None) -> Iterator[FieldError]:
    """The addresses of a pod or its host, of which the first has a field of its own: at most one of each family."""
    if first:
        yield from field_rules.address(path, first)
    texts = [address.ip for address in given or ()]
    plural = Path(f"{path}s")
    for i, text in enumerate(texts):
        yield from field_rules.address(plural[i], text)
    if texts and texts[0] != (first or ""):
        yield plural[0].invalid(texts[0], f"must be equal to `{str(path).rpartition('.')[2]}`")
    families = [":" in text for text in texts]
    if len(families) != len(set(families)):
        yield plural.invalid(texts, "may specify no more than one IP for each IP family")
