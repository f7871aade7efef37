"""From the endpoints that a service should have to the slices that hold them. Pure.

A slice holds endpoints of one address family with the same ports, at most ``MOST`` of them. What is in a slice stays
there, so that a change of one pod is the change of one slice. Names are derived, not drawn: a create that was made
already, but is not seen yet, meets itself and fails.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from apimachinery import codec, meta
from apimachinery.types.core_v1 import Endpoints, ObjectReference, Pod, Service
from apimachinery.types.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from apimachinery.types.meta_v1 import ObjectMeta, OwnerReference
from controller_manager.endpoints_plan import PodPort, ports_of
from controller_manager.pods import is_ready, is_terminal

MOST: Final = 100
SERVICE_NAME: Final = "kubernetes.io/service-name"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
LAST_CHANGE: Final = "endpoints.kubernetes.io/last-change-trigger-time"


class Group(NamedTuple):
    """What the endpoints of one slice have in common."""

    address_type: str
    ports: tuple[PodPort, ...]


Wanted = Mapping[Group, Mapping[str, Endpoint]]
"""Endpoints by group, and by something that stays theirs (a UID, an address)."""


@dataclass(frozen=True)
class Plan:
    create: tuple[EndpointSlice, ...] = ()
    update: tuple[EndpointSlice, ...] = ()
    delete: tuple[EndpointSlice, ...] = ()


@dataclass(frozen=True)
class Owner:
    """Whose slices these are, and who manages them."""

    namespace: str
    name: str
    manager: str
    labels: Mapping[str, str]
    reference: OwnerReference
    annotations: Mapping[str, str]

    @property
    def all_labels(self) -> dict[str, str]:
        return {**self.labels, SERVICE_NAME: self.name, MANAGED_BY: self.manager}


def of_pods(service: Service, pods: Iterable[Pod]) -> Wanted:
    """A service's endpoints from its pods. Those on their way out are among them, and say so."""
    groups: dict[Group, dict[str, Endpoint]] = {}
    for pod in pods:
        if not pod.status.pod_ip or is_terminal(pod):
            continue
        ports = ports_of(service, pod)
        if ports is not None:
            group = Group(_family(pod.status.pod_ip), ports)
            groups.setdefault(group, {})[_identity(_reference(pod), pod.status.pod_ip)] = _endpoint(service, pod)
    # A service without any pod has an empty slice, which tells that somebody has looked.
    return groups or {Group("IPv4", ()): {}}


def of_endpoints(endpoints: Endpoints) -> Wanted:
    """What was written into Endpoints by hand."""
    groups: dict[Group, dict[str, Endpoint]] = {}
    for subset in endpoints.subsets or ():
        ports = tuple(
            PodPort(one.name or "", one.port, one.protocol or "TCP", one.app_protocol or "")
            for one in subset.ports or ()
        )
        for ready, addresses in ((True, subset.addresses), (False, subset.not_ready_addresses)):
            for one in addresses or ():
                group = groups.setdefault(Group(_family(one.ip), ports), {})
                group.setdefault(
                    _identity(one.target_ref, one.ip),
                    Endpoint(
                        addresses=[one.ip],
                        conditions=EndpointConditions(ready=ready),
                        hostname=one.hostname or None,
                        node_name=one.node_name,
                        target_ref=one.target_ref,
                    ),
                )
    return groups


def plan(owner: Owner, wanted: Wanted, existing: Sequence[EndpointSlice]) -> Plan:
    """The fewest writes that leave the slices with what is wanted."""
    create: list[EndpointSlice] = []
    update: list[EndpointSlice] = []
    delete: list[EndpointSlice] = []
    names = {meta.name_of(one) for one in existing}
    by_group: dict[Group, list[EndpointSlice]] = {}
    for one in existing:
        by_group.setdefault(_group(one), []).append(one)
    for group in [*by_group, *(group for group in wanted if group not in by_group)]:
        slices, missing = by_group.get(group, []), dict(wanted.get(group, {}))
        kept = {meta.name_of(one): _keep(one, missing) for one in slices}
        for one in slices:  # those that change anyway take the new ones, then those that have room
            _fill(kept[meta.name_of(one)], missing)
        for one in slices:
            content = kept[meta.name_of(one)]
            if not content and not (group in wanted and not wanted[group] and one is slices[0]):
                delete.append(one)
            elif new := _changed(owner, one, content):
                update.append(new)
        create += _new_slices(owner, group, missing, names, at_least_one=group in wanted and not slices)
    return Plan(tuple(create), tuple(update), tuple(delete))


def _keep(one: EndpointSlice, missing: dict[str, Endpoint]) -> list[Endpoint]:
    """The endpoints that stay in a slice, as they are now; takes them out of ``missing``."""
    identities = (_identity(there.target_ref, there.addresses[0]) for there in one.endpoints or () if there.addresses)
    return [missing.pop(identity) for identity in identities if identity in missing]


def _fill(content: list[Endpoint], missing: dict[str, Endpoint]) -> None:
    for identity in [*missing][: MOST - len(content)]:
        content.append(missing.pop(identity))


def _changed(owner: Owner, one: EndpointSlice, content: list[Endpoint]) -> EndpointSlice | None:
    """The slice with this content, or None if it is so already."""
    if (one.endpoints or []) == content and one.metadata.labels == owner.all_labels:
        return None
    new = codec.copy(one)
    new.endpoints = content
    new.metadata.labels = owner.all_labels
    new.metadata.annotations = {**owner.annotations} or None
    return new


def _new_slices(
    owner: Owner, group: Group, missing: dict[str, Endpoint], names: set[str], *, at_least_one: bool
) -> Iterator[EndpointSlice]:
    while missing or at_least_one:
        at_least_one = False
        content: list[Endpoint] = []
        _fill(content, missing)
        name = _free_name(owner.name, group, names)
        names.add(name)
        metadata = ObjectMeta(
            name=name,
            namespace=owner.namespace,
            labels=owner.all_labels,
            annotations={**owner.annotations} or None,
            owner_references=[owner.reference],
        )
        ports = [_endpoint_port(port) for port in group.ports]
        yield EndpointSlice(metadata=metadata, address_type=group.address_type, endpoints=content, ports=ports)


def _free_name(prefix: str, group: Group, taken: set[str]) -> str:
    for number in range(len(taken) + 1):
        digest = hashlib.sha256(repr((group.address_type, *map(tuple, group.ports), number)).encode()).digest()
        name = f"{prefix}-{base64.b32encode(digest)[:8].decode().lower()}"
        if name not in taken:
            return name
    raise AssertionError("there are more numbers than names taken")


def _group(one: EndpointSlice) -> Group:
    ports = (PodPort(p.name or "", p.port or 0, p.protocol or "TCP", p.app_protocol or "") for p in one.ports or ())
    return Group(one.address_type, tuple(ports))


def _endpoint_port(port: PodPort) -> EndpointPort:
    return EndpointPort(name=port.name, port=port.port, protocol=port.protocol, app_protocol=port.app_protocol or None)


def _endpoint(service: Service, pod: Pod) -> Endpoint:
    serving, terminating = is_ready(pod), meta.is_being_deleted(pod)
    ready = bool(service.spec.publish_not_ready_addresses) or (serving and not terminating)
    named = pod.spec.hostname and pod.spec.subdomain == meta.name_of(service)
    return Endpoint(
        addresses=[pod.status.pod_ip or ""],
        conditions=EndpointConditions(ready=ready, serving=serving, terminating=terminating),
        hostname=pod.spec.hostname if named else None,
        node_name=pod.spec.node_name,
        target_ref=_reference(pod),
    )


def _reference(pod: Pod) -> ObjectReference:
    return ObjectReference(
        kind="Pod", namespace=meta.namespace_of(pod), name=meta.name_of(pod), uid=meta.uid_of(pod)
    )


def _identity(reference: ObjectReference | None, address: str) -> str:
    return f"{reference.uid if reference else ''} {address}"


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"
