"""The commands ``up``, ``down``, ``stop``, ``defrag`` and ``clean``, step by step."""

import sys
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
    execute,
    images,
    kubeconfig,
    leftovers,
    namespaces,
    network,
    processes,
)
from deploy.lab.addresses import MAX_NODES, first_free
from deploy.lab.errors import LabError
from deploy.lab.lab import CHECKOUT, DEFAULT, IN_PODS, MASTER, Lab, Settings, claim, claim_of, settings_path
from deploy.lab.processes import Daemon
from deploy.lab.progress import say, step

T = TypeVar("T")
NODES = 2
READY = 60.0
"""Seconds for a daemon, and then for the nodes, to be ready."""


def lab_for(name: str, nodes: int | None = None, egress: bool | None = None, dns: str | None = None) -> Lab:
    """The lab of that name from its state folder, or a new one, with the settings that are not None changed."""
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
    """A number for a lab without settings: its current one if it is up and only its state was lost, or a free one."""
    running = claim_of(name)
    if running and running.checkout == CHECKOUT:
        return running.index
    return first_free(checks.host_routes(), checks.taken_numbers(name)).index


def up(lab: Lab, infrastructure_only: bool = False) -> None:
    """Start everything of the lab that does not run. On failure, what this call started is stopped again.

    With ``infrastructure_only`` it starts only the network, etcd and the engines, for daemons started by hand.
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
        _start(lab, [daemons.supervisor(lab)], [])
        if not infrastructure_only:
            _run_dns(lab)
            _show_example(lab)
    except BaseException:
        _roll_back(lab, fresh, started)
        raise
    if not infrastructure_only:
        _say_next_steps(lab)


def _roll_back(lab: Lab, fresh: bool, started: Sequence[Daemon]) -> None:
    """After a failure, stop what this call started: the whole lab if it was down before."""
    say("  stopping what was started")
    try:
        if fresh:
            _end_all(lab)
        else:
            processes.stop(lab, started)
    except LabError as error:  # the original failure is raised
        say(f"  that failed in part: {error}; run 'make down'")


def _prepare(lab: Lab) -> None:
    """State, certificates and network: everything that is not a process."""
    claim(lab)
    before = Settings.load(settings_path(lab.name))
    lab.settings.save(settings_path(lab.name))
    with step("certificates") as current:
        renewed = certificates.ensure(lab)
        written = kubeconfig.ensure(lab)
        current.detail = f"{len(renewed)} issued, {written} kubeconfigs written" if renewed or written else "all valid"
    if before and before.nodes > lab.settings.nodes:
        with step("nodes") as current:
            current.detail = f"{', '.join(_drop_nodes(lab, before))} removed"
    with step("network") as current:
        changed = network.create(lab)
        current.detail = f"{lab.addresses.network}" + ("" if changed else ", unchanged")
        network.check_reachable(lab)


def _drop_nodes(lab: Lab, before: Settings) -> list[str]:
    """Remove the nodes beyond the lab's new number. Returns their names."""
    larger = replace(lab, settings=before)
    dropped = [node for node in larger.nodes if node not in lab.nodes]
    for node in dropped:
        processes.stop(larger, daemons.of_node(larger, node))
        _end_engine(larger, node)
        leftovers.remove(larger, [node])
        network.remove_machine(larger, node)
    return dropped


def _start_base(lab: Lab, started: list[Daemon]) -> None:
    """Start etcd, and on each node an engine with its images, all at the same time."""
    with step("etcd and engines") as current:
        for node in lab.nodes:
            engine.prepare(lab, node)
        rows = [etcd.daemon(lab), *(row for node in lab.nodes for row in engine.daemons(lab, node))]
        changed = _start(lab, rows, started)
        built_images = images.built(lab)
        processes.wait_healthy(lab, rows, READY)
        loaded = sum(_in_parallel(lambda node: images.load(lab, node, built_images), lab.nodes))
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
    """Run the name server as the settings say, and remove its pods if they say daemon."""
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
                raise LabError(f"{example.service_url(client)} sent an empty answer")


def _start(lab: Lab, rows: Sequence[Daemon], started: list[Daemon]) -> list[Daemon]:
    """Start daemons that do not run, and restart those whose configuration has changed. Returns these daemons."""
    changed = []
    for row in rows:
        process = processes.running(lab, row)
        if process and not processes.is_current(lab, row):
            processes.stop(lab, [row])
        if processes.start(lab, row):
            changed.append(row)
            started.append(row)
    return changed


def down(lab: Lab) -> None:
    """Stop and remove everything of the lab on this machine except its state. Safe to repeat."""
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
        processes.stop(lab, [daemons.supervisor(lab)])
        leftovers.remove(lab, [MASTER, *lab.nodes])
        network.destroy(lab)
        leftovers.remove_folders(lab)
        current.detail = "removed"


def _with_all_nodes(lab: Lab) -> Lab:
    """The lab with every node that is on the machine, which may be more than its settings say."""
    marks = [name.removeprefix(f"{lab.prefix}-node-") for name in network.existing(lab)]
    numbers = [int(mark) for mark in marks if mark.isdigit()]
    return replace(lab, settings=replace(lab.settings, nodes=max([lab.settings.nodes, *numbers])))


def _end_engine(lab: Lab, node: str) -> int:
    """Remove a node's containers and stop its engine. Returns the number of containers."""
    containerd, dockerd = rows = engine.daemons(lab, node)
    if not namespaces.exists(lab.namespace(node)):
        return 0
    with suppress(LabError):  # if the engine cannot start, ``leftovers`` removes the containers
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


def defrag(lab: Lab) -> None:
    """Make room in etcd; the lab may be up, and must be for its etcd to answer."""
    checks.check_root()
    checks.check_owner(lab)
    argv = [sys.executable, "-m", "apiserver.defrag", *etcd.client_flags(lab)]
    with step("etcd") as current:
        current.detail = execute.run(execute.in_namespace(lab.namespace(MASTER), argv), timeout=600).strip()


def clean(lab: Lab) -> None:
    """``down``, and remove the state: etcd's data, the certificates, the logs."""
    down(lab)
    with step("state") as current:
        leftovers.remove_folder(lab.state)
        current.detail = f"{lab.state.name} removed"


def _stop_daemons(lab: Lab) -> int:
    """Stop the apiserver's clients first, so that they can release their leases, then the apiserver, then etcd."""
    apiserver, *clients = daemons.control_plane(lab)
    for node in lab.nodes:
        clients += daemons.of_node(lab, node)
    return sum(processes.stop(lab, rows) for rows in (clients, [apiserver], [etcd.daemon(lab)]))


def _in_parallel(action: Callable[[str], T], nodes: Sequence[str]) -> list[T]:
    """Run ``action`` for all nodes at the same time. Returns the results; raises the first failure."""
    with ThreadPoolExecutor(max_workers=max(1, len(nodes))) as pool:
        return list(pool.map(action, nodes))


def _say_next_steps(lab: Lab) -> None:
    state = lab.state
    call = f"{lab.server}/api/v1/namespaces/default/pods"
    option = "" if lab.name == DEFAULT else f" LAB={lab.name}"
    say(
        f"""
The lab is up. Next steps:

  export KUBECONFIG={lab.kubeconfig}
  kubectl get pods -o wide
  curl -K {lab.curlrc} {call}

  inside a pod   docker -H unix://{engine.socket_of(lab, lab.nodes[0])} ps
  logs           {state}/logs/<node>/<daemon>.log
  what runs      make status{option}
"""
    )
