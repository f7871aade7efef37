"""From the endpoints that a service should have to the slices that hold them. Pure.

A slice holds endpoints of one address family with the same ports, at most ``MOST`` of them. An endpoint stays in its
slice, so that a change of one pod changes one slice. Names are derived, not random: creating a slice a second time,
because the cache does not show it yet, fails.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from apimachinery import codec, meta
from apimachinery.core import well_known
from apimachinery.core.pods import is_ready, is_terminal
from apimachinery.core.services import publishes_unready
from apimachinery.types.core_v1 import Endpoints, ObjectReference, Pod, Service
from apimachinery.types.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from apimachinery.types.meta_v1 import ObjectMeta, OwnerReference
from controller_manager.endpoints_plan import PodPort, ports_of, reference

MOST: Final = 100


class Group(NamedTuple):
    """What the endpoints of one slice have in common."""

    address_type: str
    ports: tuple[PodPort, ...]


EndpointGroups = Mapping[Group, Mapping[str, Endpoint]]
"""Endpoints by group, and by an identity that stays the same (a UID, an address)."""


@dataclass(frozen=True)
class Plan:
    create: tuple[EndpointSlice, ...] = ()
    update: tuple[EndpointSlice, ...] = ()
    delete: tuple[EndpointSlice, ...] = ()


@dataclass(frozen=True)
class SliceOwner:
    """Whose slices these are, and who manages them."""

    namespace: str
    name: str
    manager: str
    labels: Mapping[str, str]
    reference: OwnerReference
    annotations: Mapping[str, str]

    @property
    def all_labels(self) -> dict[str, str]:
        return {
            **self.labels,
            well_known.SERVICE_NAME_LABEL: self.name,
            well_known.SLICE_MANAGED_BY_LABEL: self.manager,
        }


def of_pods(service: Service, pods: Iterable[Pod]) -> EndpointGroups:
    """A service's endpoints from its pods, terminating ones included and marked as such."""
    groups: dict[Group, dict[str, Endpoint]] = {}
    for pod in pods:
        if not pod.status.pod_ip or is_terminal(pod):
            continue
        ports = ports_of(service, pod)
        if ports is not None:
            group = Group(_family(pod.status.pod_ip), ports)
            groups.setdefault(group, {})[_identity(reference(pod), pod.status.pod_ip)] = _endpoint(service, pod)
    # A service without any pod has an empty slice, which shows that it has been processed.
    return groups or {Group("IPv4", ()): {}}


def of_endpoints(endpoints: Endpoints) -> EndpointGroups:
    """The endpoints in Endpoints that were written by hand."""
    groups: dict[Group, dict[str, Endpoint]] = {}
    for subset in endpoints.subsets or ():
        ports = tuple(
            PodPort(port.name or "", port.port, port.protocol or "TCP", port.app_protocol or "")
            for port in subset.ports or ()
        )
        for ready, addresses in ((True, subset.addresses), (False, subset.not_ready_addresses)):
            for address in addresses or ():
                group = groups.setdefault(Group(_family(address.ip), ports), {})
                group.setdefault(
                    _identity(address.target_ref, address.ip),
                    Endpoint(
                        addresses=[address.ip],
                        conditions=EndpointConditions(ready=ready),
                        hostname=address.hostname or None,
                        node_name=address.node_name,
                        target_ref=address.target_ref,
                    ),
                )
    return groups


def plan(owner: SliceOwner, groups: EndpointGroups, existing: Sequence[EndpointSlice]) -> Plan:
    """The fewest writes after which the slices contain exactly the endpoints of ``groups``."""
    create: list[EndpointSlice] = []
    update: list[EndpointSlice] = []
    delete: list[EndpointSlice] = []
    names = {meta.name_of(present) for present in existing}
    by_group: dict[Group, list[EndpointSlice]] = {}
    for present in existing:
        by_group.setdefault(_group(present), []).append(present)
    for group in [*by_group, *(group for group in groups if group not in by_group)]:
        slices, missing = by_group.get(group, []), dict(groups.get(group, {}))
        contents = [_keep(present, missing) for present in slices]
        for content in contents:
            _fill(content, missing)
        for position, (present, content) in enumerate(zip(slices, contents, strict=True)):
            stays_empty = position == 0 and group in groups and not groups[group]
            if not content and not stays_empty:
                delete.append(present)
            elif new := _changed(owner, present, content):
                update.append(new)
        create += _new_slices(owner, group, missing, names, at_least_one=group in groups and not slices)
    return Plan(tuple(create), tuple(update), tuple(delete))


def _keep(present: EndpointSlice, missing: dict[str, Endpoint]) -> list[Endpoint]:
    """The endpoints that stay in a slice, as they are now; removes them from ``missing``."""
    endpoints = [endpoint for endpoint in present.endpoints or () if endpoint.addresses]
    identities = [_identity(endpoint.target_ref, endpoint.addresses[0]) for endpoint in endpoints]
    return [missing.pop(identity) for identity in identities if identity in missing]


def _fill(content: list[Endpoint], missing: dict[str, Endpoint]) -> None:
    for identity in [*missing][: MOST - len(content)]:
        content.append(missing.pop(identity))


def _changed(owner: SliceOwner, present: EndpointSlice, content: list[Endpoint]) -> EndpointSlice | None:
    """The slice with this content, or None if it has it already."""
    if (present.endpoints or []) == content and present.metadata.labels == owner.all_labels:
        return None
    new = codec.copy(present)
    new.endpoints = content
    new.metadata.labels = owner.all_labels
    new.metadata.annotations = {**owner.annotations} or None
    return new


def _new_slices(
    owner: SliceOwner, group: Group, missing: dict[str, Endpoint], names: set[str], *, at_least_one: bool
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


def _group(present: EndpointSlice) -> Group:
    ports = [
        PodPort(port.name or "", port.port or 0, port.protocol or "TCP", port.app_protocol or "")
        for port in present.ports or ()
    ]
    return Group(present.address_type, tuple(ports))


def _endpoint_port(port: PodPort) -> EndpointPort:
    return EndpointPort(name=port.name, port=port.port, protocol=port.protocol, app_protocol=port.app_protocol or None)


def _endpoint(service: Service, pod: Pod) -> Endpoint:
    serving, terminating = is_ready(pod), meta.is_being_deleted(pod)
    ready = publishes_unready(service) or (serving and not terminating)
    named = pod.spec.hostname and pod.spec.subdomain == meta.name_of(service)
    return Endpoint(
        addresses=[pod.status.pod_ip or ""],
        conditions=EndpointConditions(ready=ready, serving=serving, terminating=terminating),
        hostname=pod.spec.hostname if named else None,
        node_name=pod.spec.node_name,
        target_ref=reference(pod),
    )


def _identity(reference: ObjectReference | None, address: str) -> str:
    return f"{reference.uid if reference else ''} {address}"


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"
