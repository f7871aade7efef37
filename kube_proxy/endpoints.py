"""Who serves a service port, from Endpoints or from EndpointSlices. Pure.

New connections go to ready endpoints. Where none is ready, they go to those that are terminating but still serve:
better than nobody. Only slices contain such endpoints; Endpoints list ready addresses alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from apimachinery.meta import Key
from apimachinery.types import core_v1, discovery_v1
from kube_proxy.dataplane.messages import Backend
from kube_proxy.services import is_ipv4, port_name


@dataclass(frozen=True)
class Reachable:
    """The endpoints of one service port, in order."""

    everywhere: tuple[Backend, ...] = ()
    here: tuple[Backend, ...] = ()
    """Those of this node."""
    ready_here: frozenset[str] = field(default=frozenset(), compare=False)
    """Addresses of those of this node that are ready and not terminating."""


NOBODY = Reachable()
ByPort = Mapping[tuple[str, str], Reachable]
"""By the service port's name and protocol."""


@dataclass(frozen=True)
class _Candidate:
    backend: Backend
    is_here: bool
    is_ready: bool


def of_endpoints(endpoints: core_v1.Endpoints, node: str) -> ByPort:
    by_port: dict[tuple[str, str], list[_Candidate]] = {}
    for subset in endpoints.subsets or ():
        for port in subset.ports or ():
            by_port.setdefault((port_name(endpoints, port.name), port.protocol or "TCP"), []).extend(
                _Candidate((address.ip, port.port), address.node_name == node, is_ready=True)
                for address in subset.addresses or ()
                if is_ipv4(address.ip)
            )
    return {name: _reachable(candidates) for name, candidates in by_port.items()}


def of_slices(slices: Iterable[discovery_v1.EndpointSlice], service: Key, node: str) -> ByPort:
    by_port: dict[tuple[str, str], list[_Candidate]] = {}
    for endpoint_slice in slices:
        if endpoint_slice.address_type != "IPv4":
            continue
        for port in endpoint_slice.ports or ():
            if port.port is None:
                continue
            name = f"{service}:{port.name}" if port.name else str(service)
            candidates = by_port.setdefault((name, port.protocol or "TCP"), [])
            for endpoint in endpoint_slice.endpoints or ():
                candidates += _candidates(endpoint, port.port, node)
    return {name: _reachable(candidates) for name, candidates in by_port.items()}


def _candidates(endpoint: discovery_v1.Endpoint, port: int, node: str) -> Iterable[_Candidate]:
    conditions = endpoint.conditions or discovery_v1.EndpointConditions()
    is_ready = conditions.ready is not False  # unknown counts as ready
    is_serving = conditions.serving if conditions.serving is not None else is_ready
    if is_ready or (is_serving and conditions.terminating):
        is_here = endpoint.node_name == node
        # Of several addresses the first one counts; they are the same endpoint.
        for address in endpoint.addresses[:1]:
            if is_ipv4(address):
                yield _Candidate((address, port), is_here, is_ready)


def _reachable(candidates: Sequence[_Candidate]) -> Reachable:
    here = [candidate for candidate in candidates if candidate.is_here]
    ready_here = frozenset(candidate.backend[0] for candidate in here if candidate.is_ready)
    return Reachable(_choose(candidates), _choose(here), ready_here)


def _choose(candidates: Iterable[_Candidate]) -> tuple[Backend, ...]:
    ready = {candidate.backend for candidate in candidates if candidate.is_ready}
    return tuple(sorted(ready or {candidate.backend for candidate in candidates}))
