"""The proxy's current state as one JSON table: a row for each service port, with its endpoints. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kube_proxy.dataplane.messages import Backend
from kube_proxy.services import ServicePort
from kube_proxy.statistics import BackendTotals, PortTotals


@dataclass(frozen=True)
class Row:
    """The state of one service port that is served now."""

    spec: ServicePort
    backends: tuple[Backend, ...]
    proxy_port: int | None = None
    """None in iptables mode."""
    node_port_held: bool = False
    totals: PortTotals | None = None
    clients_remembered: int = 0
    """Clients with an affinity."""


def table(mode: str, rows: Iterable[Row]) -> dict[str, Any]:
    """The body of ``/table``, with field names in the API's style."""
    return {"mode": mode, "services": [_row(row) for row in sorted(rows, key=lambda row: row.spec.id)]}


def _row(row: Row) -> dict[str, Any]:
    spec, totals = row.spec, row.totals
    entry: dict[str, Any] = {
        "name": spec.name,
        "protocol": spec.protocol,
        "addresses": [*spec.addresses, *spec.guarded],
        "port": spec.port,
        "endpoints": [_endpoint(backend, totals) for backend in row.backends],
    }
    if row.proxy_port is not None:
        entry["proxyPort"] = row.proxy_port
    if spec.node_port:
        entry["nodePort"] = spec.node_port
        entry["nodePortHeld"] = row.node_port_held
    if spec.affinity_seconds is not None:
        entry["affinity"] = {"timeoutSeconds": spec.affinity_seconds, "clients": row.clients_remembered}
    if spec.guarded:
        entry["sourceRanges"] = [str(network) for network in spec.source_ranges]
    if spec.local_only:
        entry["localOnly"] = True
    if spec.insider_addresses or spec.insider_node_port:
        entry["forPodsAndNode"] = {"addresses": [*spec.insider_addresses], "nodePort": spec.insider_node_port}
    if spec.proxy_protocol:
        entry["proxyProtocol"] = f"v{spec.proxy_protocol}"
    if totals is not None:
        entry |= {"refused": totals.refused, "unreachable": totals.unreachable, "retries": totals.retries}
        entry["draining"] = _draining(row, totals)
    return entry


def _endpoint(backend: Backend, totals: PortTotals | None) -> dict[str, Any]:
    name = f"{backend[0]}:{backend[1]}"
    if totals is None:
        return {"address": name}
    return {"address": name} | _numbers(totals.backends.get(name) or BackendTotals())


def _draining(row: Row, totals: PortTotals) -> list[dict[str, Any]]:
    """Former endpoints that still have connections open."""
    current = {f"{address}:{port}" for address, port in row.backends}
    return [
        {"address": name} | _numbers(backend_totals)
        for name, backend_totals in totals.backends.items()
        if name not in current and backend_totals.open
    ]


def _numbers(backend_totals: BackendTotals) -> dict[str, int]:
    return {
        "open": backend_totals.open,
        "connections": backend_totals.connections,
        "errors": backend_totals.errors,
        "timeouts": backend_totals.timeouts,
        "bytesToBackend": backend_totals.bytes_to_backend,
        "bytesToClient": backend_totals.bytes_to_client,
    }
