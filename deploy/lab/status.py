"""The output of ``make status``: daemons with their health, nodes, pods."""

import time

from deploy.lab import api, daemons, network, processes
from deploy.lab.api import Api, Object
from deploy.lab.errors import LabError
from deploy.lab.lab import Lab
from deploy.lab.processes import Daemon
from deploy.lab.progress import say
from deploy.lab.records import Record


def show(lab: Lab) -> bool:
    """Print what runs. Returns whether everything runs and is healthy."""
    if not network.existing(lab):
        say(f"lab {lab.name}: down")
        return False
    say(f"lab {lab.name}: {lab.addresses.network}, pods {lab.addresses.cluster_cidr}, state {lab.state}")
    say()
    rows: list[tuple[str, ...]] = [("DAEMON", "NAMESPACE", "PID", "AGE", "RESTARTS", "HEALTH")]
    rows += [_daemon_row(lab, daemon) for daemon in daemons.table(lab)]
    _print_table(rows)
    healthy = all(row[-1] == "ok" for row in rows[1:])
    try:
        with Api(lab) as client:
            say()
            _print_table([("NODE", "ADDRESS", "READY", "PODS"), *_node_rows(client)])
            say()
            pods = client.items("/api/v1/pods")
            _print_table([("POD", "NODE", "ADDRESS", "PHASE", "READY"), *(_pod_row(pod) for pod in pods)])
    except LabError as error:
        say(str(error))
        return False
    return healthy


def _daemon_row(lab: Lab, daemon: Daemon) -> tuple[str, ...]:
    record, process = processes.record_of(lab, daemon), processes.running(lab, daemon)
    where = (daemon.key, daemon.namespace or "-")
    if process is None:
        return *where, "-", "-", restarts(record), absence(record, time.monotonic())
    health = "ok" if processes.is_healthy(daemon) else "unhealthy"
    return *where, str(process.pid), age(process.age), restarts(record), health


def restarts(record: Record | None, now: float | None = None) -> str:
    """How often the supervisor has started a daemon again, and when it last ended, as kubectl writes it of a container."""
    if record is None or record.ended is None:
        return "0"
    now = time.monotonic() if now is None else now
    return f"{record.restarts} ({age(now - record.ended)} ago)"


def absence(record: Record | None, now: float) -> str:
    """Why a daemon does not run."""
    if record is None:
        return "not running"
    if not record.wanted:
        return "stopped"
    return "ended" if record.retry is None else f"ended, started again in {age(max(0.0, record.retry - now))}"


def age(seconds: float) -> str:
    """A duration as kubectl writes it, in its largest unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)}{unit}"
    return f"{int(seconds)}s"


def _node_rows(client: Api) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for node in client.items(api.NODES):
        addresses = [item["address"] for item in node["status"].get("addresses") or []]
        ready = "yes" if api.condition(node, "Ready") else "no"
        pod_range = node["spec"].get("podCIDR") or "-"
        rows.append((node["metadata"]["name"], addresses[0] if addresses else "-", ready, pod_range))
    return rows


def _pod_row(pod: Object) -> tuple[str, ...]:
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    status = pod.get("status", {})
    ready = "yes" if api.condition(pod, "Ready") else "no"
    return (
        name,
        pod["spec"].get("nodeName") or "-",
        status.get("podIP") or "-",
        status.get("phase") or "-",
        ready,
    )


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        say("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
