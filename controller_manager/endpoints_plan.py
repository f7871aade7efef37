"""The addresses behind a service, from its pods. Pure, and canonical: the same pods give the same Endpoints."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from apimachinery import meta
from apimachinery.types.core_v1 import (
    EndpointAddress,
    EndpointPort,
    EndpointSubset,
    ObjectReference,
    Pod,
    Service,
    ServicePort,
)
from controller_manager.pods import is_ready, is_terminal

HEADLESS_LABEL: Final = "service.kubernetes.io/headless"


class PodPort(NamedTuple):
    """A port of pods as a value that can be a key."""

    name: str
    port: int
    protocol: str
    app_protocol: str


def subsets(service: Service, pods: Iterable[Pod]) -> list[EndpointSubset]:
    """Pods with the same ports share a subset; a service without ports lists addresses alone."""
    addresses: dict[tuple[PodPort, ...], tuple[dict[str, EndpointAddress], dict[str, EndpointAddress]]] = defaultdict(
        lambda: ({}, {})
    )
    unready_too = bool(service.spec.publish_not_ready_addresses)
    for pod in pods:
        if not _belongs(pod, unready_too):
            continue
        ports = ports_of(service, pod)
        if ports is None:
            continue
        ready, not_ready = addresses[ports]
        side = ready if unready_too or is_ready(pod) else not_ready
        side[meta.uid_of(pod)] = _address(service, pod)
    return [
        EndpointSubset(
            addresses=_sorted(ready.values()) or None,
            not_ready_addresses=_sorted(not_ready.values()) or None,
            ports=[_endpoint_port(port) for port in ports] or None,
        )
        for ports, (ready, not_ready) in sorted(addresses.items())
    ]


def labels(service: Service) -> dict[str, str] | None:
    """The labels of a service's Endpoints: its own."""
    found = {**meta.labels_of(service)}
    found.pop(HEADLESS_LABEL, None)
    if service.spec.cluster_ip in (None, "", "None"):
        found[HEADLESS_LABEL] = ""
    return found or None


def _belongs(pod: Pod, unready_too: bool) -> bool:
    if not pod.status.pod_ip or is_terminal(pod):
        return False
    return unready_too or pod.metadata.deletion_timestamp is None


def ports_of(service: Service, pod: Pod) -> tuple[PodPort, ...] | None:
    """The pod's ports for the service; None if it has none of those that the service names."""
    wanted = service.spec.ports or ()
    if not wanted:
        return ()
    found = {
        PodPort(one.name or "", number, one.protocol or "TCP", one.app_protocol or "")
        for one in wanted
        if (number := _number(one, pod)) is not None
    }
    return tuple(sorted(found)) or None


def _number(port: ServicePort, pod: Pod) -> int | None:
    """A target port is a number, or the name of a port of some container, whose number may differ per pod."""
    target = port.target_port
    if target is None or target in (0, ""):
        return port.port
    if isinstance(target, int):
        return target
    for container in pod.spec.containers:
        for one in container.ports or ():
            if one.name == target and (one.protocol or "TCP") == (port.protocol or "TCP"):
                return one.container_port
    return None


def _endpoint_port(port: PodPort) -> EndpointPort:
    return EndpointPort(
        name=port.name or None, port=port.port, protocol=port.protocol, app_protocol=port.app_protocol or None
    )


def _address(service: Service, pod: Pod) -> EndpointAddress:
    named = pod.spec.hostname and pod.spec.subdomain == meta.name_of(service)
    return EndpointAddress(
        ip=pod.status.pod_ip or "",
        hostname=pod.spec.hostname if named else None,
        node_name=pod.spec.node_name,
        target_ref=ObjectReference(
            kind="Pod", namespace=meta.namespace_of(pod), name=meta.name_of(pod), uid=meta.uid_of(pod)
        ),
    )


def _sorted(addresses: Iterable[EndpointAddress]) -> list[EndpointAddress]:
    return sorted(addresses, key=lambda one: (one.ip, (one.target_ref.uid if one.target_ref else "") or ""))


def same_to_services(old: Pod, new: Pod) -> bool:
    """Whether a pod's change leaves every Endpoints object as it is."""
    return (
        old.status.pod_ip == new.status.pod_ip
        and is_ready(old) == is_ready(new)
        and is_terminal(old) == is_terminal(new)
        and meta.is_being_deleted(old) == meta.is_being_deleted(new)
        and meta.labels_of(old) == meta.labels_of(new)
        and old.spec.node_name == new.spec.node_name
    )


def affected_services(
    old: Pod | None, new: Pod | None, services_in: Callable[[str], Iterable[Service]]
) -> set[meta.Key]:
    """The services whose endpoints a pod's change may alter; ``services_in`` gives those of a namespace."""
    if old is not None and new is not None and same_to_services(old, new):
        return set()
    return {
        meta.key_of(service)
        for pod in (old, new)
        if pod is not None
        for service in services_in(meta.namespace_of(pod))
        if service.spec.selector and service.spec.selector.items() <= meta.labels_of(pod).items()
    }
