"""What ``up``, ``down``, ``stop`` and ``clean`` do, step by step."""

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from deploy.lab import (
    api,
    certificates,
    checks,
    daemons,
    dns,
    engine,
    etcd,
    example,
    images,
    kubeconfig,
    leftovers,
    namespaces,
    network,
    processes,
)
from deploy.lab.addresses import MAX_NODES, first_free
from deploy.lab.errors import LabError
from deploy.lab.lab import CHECKOUT, IN_PODS, MASTER, Lab, Settings, claim, claim_of, settings_path
from deploy.lab.processes import Daemon
from deploy.lab.progress import say, step

T = TypeVar("T")
NODES = 2
READY = 60.0
"""Seconds that a daemon, and then the nodes, get to be ready."""


def lab_for(name: str, nodes: int | None = None, egress: bool | None = None, dns: str | None = None) -> Lab:
    """The lab of that name as its state folder remembers it, or a new one, with what was asked for changed."""
    settings = Settings.load(settings_path(name))
    if settings is None:
        settings = Settings(_number_for(name), NODES)
    if nodes is not None:
        settings = replace(settings, nodes=nodes)
    if egress is not None:
        settings = replace(settings, egress=egress)
    if dns is not None:
        settings = replace(settings, dns=dns)
    if not 1 <= settings.nodes <= MAX_NODES:
        raise LabError(f"a lab has 1 to {MAX_NODES} nodes, not {settings.nodes}")
    return Lab(name, settings)


def _number_for(name: str) -> int:
    """The number of a lab without settings: the one it runs under where its state was lost, or a free one."""
    running = claim_of(name)
    if running and running.checkout == CHECKOUT:
        return running.index
    return first_free(checks.host_routes(), checks.taken_numbers(name)).index


def up(lab: Lab, infrastructure_only: bool = False) -> None:
    """Bring the lab up, or what is missing of it. What this call started ends again when it fails.

    With ``infrastructure_only`` the network, etcd and the engines are all: the daemons can then be started by hand.
    """
    with step("checks"):
        checks.before_start(lab, daemons.table(lab))
    for sentence in checks.unknown_versions():
        say(f"  warning: {sentence}")
    fresh, started = not network.existing(lab), list[Daemon]()
    try:
        _prepare(lab)
        _start_base(lab, started)
        if not infrastructure_only:
            _start_daemons(lab, started)
            _run_dns(lab)
            _show_example(lab)
    except BaseException:
        _take_back(lab, fresh, started)
        raise
    if not infrastructure_only:
        _say_next_steps(lab)


def _take_back(lab: Lab, fresh: bool, started: Sequence[Daemon]) -> None:
    """After a failure, end what this call started: all of the lab where nothing was there before it."""
    say("  taking back what was started")
    try:
        if fresh:
            _end_all(lab)
        else:
            processes.stop(lab, started)
    except LabError as error:  # the failure that led here is the one to be reported
        say(f"  not all of it: {error}; run 'make down'")


def _prepare(lab: Lab) -> None:
    """State, certificates and network: everything that is not a process."""
    claim(lab)
    before = Settings.load(settings_path(lab.name))
    lab.settings.save(settings_path(lab.name))
    with step("certificates") as current:
        made = certificates.ensure(lab)
        written = kubeconfig.ensure(lab)
        current.detail = f"{len(made)} made, {written} kubeconfigs written" if made or written else "all valid"
    if before and before.nodes > lab.settings.nodes:
        with step("nodes") as current:
            current.detail = f"{', '.join(_drop_nodes(lab, before))} removed"
    with step("network") as current:
        changed = network.create(lab)
        current.detail = f"{lab.addresses.network}" + ("" if changed else ", as it was")
        network.check_reachable(lab)


def _drop_nodes(lab: Lab, before: Settings) -> list[str]:
    """End the nodes that are not wanted any more, and name them."""
    larger = replace(lab, settings=before)
    dropped = [node for node in larger.nodes if node not in lab.nodes]
    for node in dropped:
        processes.stop(larger, daemons.of_node(larger, node))
        _end_engine(larger, node)
        leftovers.remove(larger, [node])
        network.remove_machine(larger, node)
    return dropped


def _start_base(lab: Lab, started: list[Daemon]) -> None:
    """etcd, and on each node an engine with its images; all at the same time."""
    with step("etcd and engines") as current:
        for node in lab.nodes:
            engine.prepare(lab, node)
        rows = [etcd.daemon(lab), *(row for node in lab.nodes for row in engine.daemons(lab, node))]
        changed = _start(lab, rows, started)
        found = images.built(lab)
        processes.wait_healthy(lab, rows, READY)
        loaded = sum(_in_parallel(lambda node: images.load(lab, node, found), lab.nodes))
        current.detail = f"{len(changed)} started, {loaded} images loaded" if changed or loaded else "all running"


def _start_daemons(lab: Lab, started: list[Daemon]) -> None:
    plane = daemons.control_plane(lab)
    with step("apiserver") as current:
        current.detail = "started" if _start(lab, plane[:1], started) else "running"
        processes.wait_healthy(lab, plane[:1], READY)
    of_nodes = [row for node in lab.nodes for row in daemons.of_node(lab, node)]
    with step("daemons") as current:
        changed = _start(lab, [*plane[1:], *of_nodes], started)
        processes.wait_healthy(lab, [*plane[1:], *of_nodes], READY)
        current.detail = f"{len(changed)} started" if changed else "all running"
    with step("nodes") as current, api.Api(lab) as client:
        api.forget_nodes_but(client, lab.nodes)
        since = {row.node: _started_at(lab, row) for row in of_nodes if row.name == "kubelet"}
        api.wait_for("all nodes to be Ready", lambda: api.ready_nodes(client, since) == set(since), READY)
        current.detail = f"{', '.join(lab.nodes)} ready"
    with step("election") as current, api.Api(lab) as client:
        candidates = {row.name: _started_at(lab, row) for row in plane if row.name in api.ELECTED}
        api.wait_for("scheduler and controller manager to lead", lambda: api.leads(client, candidates), READY)
        current.detail = "scheduler and controller manager lead"


def _run_dns(lab: Lab) -> None:
    """The name server in the way that was chosen, and not in the other one."""
    with api.Api(lab) as client:
        if lab.settings.dns == IN_PODS:
            with step(dns.NAME) as current:
                current.detail = f"{dns.ensure(lab, client)} pods ready"
        else:
            dns.remove(client)


def _started_at(lab: Lab, row: Daemon) -> float:
    process = processes.running(lab, row)
    if process is None:
        raise LabError(f"{row.key} ended; {processes.last_lines(lab, row)}")
    return time.time() - process.age


def _show_example(lab: Lab) -> None:
    with api.Api(lab) as client:
        with step(example.NAME) as current:
            created = example.apply(client, lab.checkout / example.FOLDER)
            pods = example.wait_ready(client)
            current.detail = f"{pods} pods ready" + (f", {created} objects created" if created else "")
        if pods == 0:
            return
        with step("proof") as current:
            answers = _in_parallel(lambda node: example.prove(lab, client, node), lab.nodes)
            current.detail = f"{example.service_url(client)} answers on {', '.join(lab.nodes)}"
            if not all(answers):
                raise LabError(f"{example.service_url(client)} gave an empty answer")


def _start(lab: Lab, rows: Sequence[Daemon], started: list[Daemon]) -> list[Daemon]:
    """Start what does not run, and start anew what would be started differently now; which those were."""
    changed = []
    for row in rows:
        process = processes.running(lab, row)
        if process and process.fingerprint != row.fingerprint():
            processes.stop(lab, [row])
        if processes.start(lab, row):
            changed.append(row)
            started.append(row)
    return changed


def down(lab: Lab) -> None:
    """End everything of the lab on this machine; its state stays. Safe to repeat."""
    checks.check_root()
    checks.check_owner(lab)
    _end_all(lab)


def _end_all(lab: Lab) -> None:
    lab = _with_all_nodes(lab)
    with step("daemons") as current:
        current.detail = f"{_stop_daemons(lab)} stopped"
    with step("containers") as current:
        removed = sum(_in_parallel(lambda node: _end_engine(lab, node), lab.nodes))
        current.detail = f"{removed} removed"
    with step("network") as current:
        leftovers.remove(lab, [MASTER, *lab.nodes])
        network.destroy(lab)
        leftovers.remove_folders(lab)
        current.detail = "removed"


def _with_all_nodes(lab: Lab) -> Lab:
    """The lab with every node that is on the machine, more than its settings name where ``NODES=`` shrank it."""
    marks = [name.removeprefix(f"{lab.prefix}-node-") for name in network.existing(lab)]
    numbers = [int(mark) for mark in marks if mark.isdigit()]
    return replace(lab, settings=replace(lab.settings, nodes=max([lab.settings.nodes, *numbers])))


def _end_engine(lab: Lab, node: str) -> int:
    """Remove a node's containers and stop its engine; how many containers there were."""
    containerd, dockerd = rows = engine.daemons(lab, node)
    if not namespaces.exists(lab.namespace(node)):
        return 0
    with suppress(LabError):  # an engine that cannot do it any more leaves the work to ``leftovers``
        if engine.has_containers_on_disk(lab, node):
            engine.prepare(lab, node)
            for row in rows:
                processes.start(lab, row)
            processes.wait_healthy(lab, rows, seconds=5)
    removed = 0
    if processes.is_healthy(dockerd):
        with suppress(LabError):
            removed = engine.remove_containers(lab, node)
    processes.stop(lab, [dockerd])
    processes.stop(lab, [containerd])
    return removed


def stop(lab: Lab) -> None:
    """Stop etcd and the daemons; engines, containers and network stay. Safe to repeat."""
    checks.check_root()
    checks.check_owner(lab)
    with step("daemons") as current:
        current.detail = f"{_stop_daemons(lab)} stopped"


def clean(lab: Lab) -> None:
    """``down``, and remove the state: etcd's data, the certificates, the logs."""
    down(lab)
    with step("state") as current:
        if lab.state.exists():
            shutil.rmtree(lab.state)
        current.detail = f"{lab.state.name} removed"


def _stop_daemons(lab: Lab) -> int:
    """The apiserver's clients first, which give their leases back through it, then the apiserver, then etcd."""
    apiserver, *clients = daemons.control_plane(lab)
    for node in lab.nodes:
        clients += daemons.of_node(lab, node)
    return sum(processes.stop(lab, rows) for rows in (clients, [apiserver], [etcd.daemon(lab)]))


def _in_parallel(action: Callable[[str], T], nodes: Sequence[str]) -> list[T]:
    """What ``action`` returns for each node, all nodes at the same time; the first failure is raised."""
    with ThreadPoolExecutor(max_workers=max(1, len(nodes))) as pool:
        return list(pool.map(action, nodes))


def _say_next_steps(lab: Lab) -> None:
    state = lab.state
    call = f"{lab.server}/api/v1/namespaces/default/pods"
    say(
        f"""
The lab is up. How to go on:

  export KUBECONFIG={lab.kubeconfig}
  kubectl get pods -o wide
  curl -K {lab.curlrc} {call}

  inside a pod   docker -H unix://{engine.socket_of(lab, lab.nodes[0])} ps
  logs           {state}/logs/<node>/<daemon>.log
  what runs      make status
"""
    )
