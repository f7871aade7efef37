"""The addresses behind a service, from its pods. Pure, and canonical: the same pods give the same Endpoints."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from apimachinery import meta
from apimachinery.core import containers, well_known
from apimachinery.core.pods import is_ready, is_terminal
from apimachinery.core.services import publishes_unready
from apimachinery.types.core_v1 import (
    EndpointAddress,
    EndpointPort,
    EndpointSubset,
    ObjectReference,
    Pod,
    Service,
    ServicePort,
)


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
    unready_too = publishes_unready(service)
    for pod in pods:
        if not _belongs(pod, unready_too):
            continue
        ports = ports_of(service, pod)
        if ports is None:
            continue
        ready, not_ready = addresses[ports]
        group = ready if unready_too or is_ready(pod) else not_ready
        group[meta.uid_of(pod)] = _address(service, pod)
    return [
        EndpointSubset(
            addresses=_sorted(ready.values()) or None,
            not_ready_addresses=_sorted(not_ready.values()) or None,
            ports=[_endpoint_port(port) for port in ports] or None,
        )
        for ports, (ready, not_ready) in sorted(addresses.items())
    ]


def labels_for(service: Service) -> dict[str, str] | None:
    """The labels of a service's endpoints: its own, and one that marks those of headless services."""
    labels = {**meta.labels_of(service)}
    labels.pop(well_known.HEADLESS_LABEL, None)
    if service.spec.cluster_ip in (None, "", "None"):
        labels[well_known.HEADLESS_LABEL] = ""
    return labels or None


def _belongs(pod: Pod, unready_too: bool) -> bool:
    if not pod.status.pod_ip or is_terminal(pod):
        return False
    return unready_too or pod.metadata.deletion_timestamp is None


def ports_of(service: Service, pod: Pod) -> tuple[PodPort, ...] | None:
    """The pod's ports for the service; None if it has none of those that the service names."""
    if not service.spec.ports:
        return ()
    ports = {
        PodPort(port.name or "", number, port.protocol or "TCP", port.app_protocol or "")
        for port in service.spec.ports
        if (number := _number(port, pod)) is not None
    }
    return tuple(sorted(ports)) or None


def _number(port: ServicePort, pod: Pod) -> int | None:
    """A target port is a number, or the name of a container's port, whose number may differ per pod.

    The pod's own containers come before its sidecars, as in Kubernetes' FindPort.
    """
    target = port.target_port
    if target is None or target in (0, ""):
        return port.port
    if isinstance(target, int):
        return target
    for container in (*pod.spec.containers, *containers.sidecars(pod)):
        for candidate in container.ports or ():
            if candidate.name == target and (candidate.protocol or "TCP") == (port.protocol or "TCP"):
                return candidate.container_port
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
        target_ref=reference(pod),
    )


def reference(pod: Pod) -> ObjectReference:
    return ObjectReference(kind="Pod", namespace=meta.namespace_of(pod), name=meta.name_of(pod), uid=meta.uid_of(pod))


def _sorted(addresses: Iterable[EndpointAddress]) -> list[EndpointAddress]:
    def order(address: EndpointAddress) -> tuple[str, str]:
        return (address.ip, (address.target_ref.uid if address.target_ref else None) or "")

    return sorted(addresses, key=order)
