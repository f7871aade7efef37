"""The proxy's current state as one JSON table: a row for each service port, with its endpoints. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kube_proxy.dataplane.messages import Backend
from kube_proxy.services import ServicePort
from kube_proxy.statistics import BackendTotals, PortTotals


@dataclass(frozen=True)
class Row:
    """What is known of one service port that is served now."""

    spec: ServicePort
    backends: tuple[Backend, ...]
    proxy_port: int | None = None
    """None where the kernel leads clients to endpoints without us."""
    node_port_held: bool = False
    totals: PortTotals | None = None
    clients_remembered: int = 0
    """Clients with an affinity."""


def table(mode: str, rows: Iterable[Row]) -> dict[str, Any]:
    """As served on ``/table``; field names as the API spells them."""
    return {"mode": mode, "services": [_row(row) for row in sorted(rows, key=lambda row: row.spec.id)]}


def _row(row: Row) -> dict[str, Any]:
    spec, totals = row.spec, row.totals
    shown: dict[str, Any] = {
        "name": spec.name,
        "protocol": spec.protocol,
        "addresses": [*spec.addresses, *spec.guarded],
        "port": spec.port,
        "endpoints": [_endpoint(backend, totals) for backend in row.backends],
    }
    if row.proxy_port is not None:
        shown["proxyPort"] = row.proxy_port
    if spec.node_port:
        shown["nodePort"] = spec.node_port
        shown["nodePortHeld"] = row.node_port_held
    if spec.affinity_seconds is not None:
        shown["affinity"] = {"timeoutSeconds": spec.affinity_seconds, "clients": row.clients_remembered}
    if spec.guarded:
        shown["sourceRanges"] = [str(network) for network in spec.source_ranges]
    if spec.local_only:
        shown["localOnly"] = True
    if spec.insider_addresses or spec.insider_node_port:
        shown["forPodsAndNode"] = {"addresses": [*spec.insider_addresses], "nodePort": spec.insider_node_port}
    if spec.proxy_protocol:
        shown["proxyProtocol"] = f"v{spec.proxy_protocol}"
    if totals is not None:
        shown |= {"refused": totals.refused, "unreachable": totals.unreachable, "retries": totals.retries}
        shown["draining"] = _draining(row, totals)
    return shown


def _endpoint(backend: Backend, totals: PortTotals | None) -> dict[str, Any]:
    name = f"{backend[0]}:{backend[1]}"
    if totals is None:
        return {"address": name}
    return {"address": name} | _numbers(totals.backends.get(name) or BackendTotals())


def _draining(row: Row, totals: PortTotals) -> list[dict[str, Any]]:
    """Endpoints that get nothing new, and have connections open still."""
    current = {f"{address}:{port}" for address, port in row.backends}
    return [
        {"address": name} | _numbers(one)
        for name, one in totals.backends.items()
        if name not in current and one.open
    ]


def _numbers(one: BackendTotals) -> dict[str, int]:
    return {
        "open": one.open,
        "connections": one.connections,
        "errors": one.errors,
        "timeouts": one.timeouts,
        "bytesToBackend": one.bytes_to_backend,
        "bytesToClient": one.bytes_to_client,
    }
