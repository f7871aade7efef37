"""``make up``, ``down``, ``stop`` and ``clean``, on separate labs."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab import Lab, controller, eventually


@pytest.fixture
def second() -> Iterator[Lab]:
    """A lab beside the shared one."""
    lab = Lab("e2e-b", nodes=1)
    lab.make("clean")
    try:
        yield lab
    finally:
        lab.make("clean")


def identities(lab: Lab) -> dict[str, Any]:
    """Each object's uid: equal if it is still the same cluster."""
    kinds = "namespaces,nodes,services,replicationcontrollers,endpoints"
    return {
        f"{item['kind']}/{item['metadata'].get('namespace', '')}/{item['metadata']['name']}": item["metadata"]["uid"]
        for item in lab.items(kinds, "--all-namespaces")
    }


def leftovers(lab: Lab) -> list[str]:
    """Processes, namespaces, interfaces and mounts that carry the lab's name."""
    prefix = "peapod-e2e-b"
    netns = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.split()
    namespaces = [name for name in netns if name.startswith(prefix)]
    with open("/proc/mounts") as file:
        mounts = [line.split()[1] for line in file if "e2e-b" in line.split()[1]]
    processes = subprocess.run(["pgrep", "-af", r"\.peapod-e2e-b|/run/peapod/e2e-b"], capture_output=True, text=True)
    return [*namespaces, *mounts, *processes.stdout.splitlines()]


@pytest.mark.timeout(400)
def test_a_second_lab_runs_beside_stops_comes_back_and_leaves_nothing(lab: Lab, second: Lab) -> None:
    shared = identities(lab)
    assert second.up() < 60
    assert second.up() < 15
    assert second.lab.addresses.network != lab.lab.addresses.network
    second.apply(controller("steady", 2))
    pods = second.ready_pods("app=steady", 2)
    before, containers = identities(second), second.containers("node-1")
    rules = nat_rules(second)

    second.make("stop")
    assert second.containers("node-1") == containers
    second.up()
    assert identities(second) == before
    eventually(lambda: len(second.ready_pods("app=steady", 2)) == 2)
    assert second.containers("node-1") == containers, "the same containers, none restarted"
    assert nat_rules(second) == rules

    orphan_containers()
    second.make("down")
    assert leftovers(second) == []
    second.up()
    assert identities(second) == before
    again = second.ready_pods("app=steady", 2)
    assert {pod["metadata"]["uid"] for pod in again} == {pod["metadata"]["uid"] for pod in pods}

    second.cut_power()
    second.up()
    assert identities(second) == before
    eventually(lambda: len(second.ready_pods("app=steady", 2)) == 2)

    second.make("clean")
    assert leftovers(second) == []
    assert not second.state.exists()
    assert identities(lab) == shared, "the other lab is unchanged"


def orphan_containers() -> None:
    """Kill the node's engine and the shims, which leaves the containers' processes, and let the engine forget them."""
    run = Path("/run/peapod/e2e-b/node-1")
    for pattern in (f"containerd --config={run}", f"dockerd --config-file={run}", f"containerd-shim.*{run}"):
        pids = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=True).stdout
        for pid in pids.split():
            os.kill(int(pid), signal.SIGKILL)
    shutil.rmtree(run / "containerd")


def nat_rules(lab: Lab) -> list[str]:
    """The proxy's redirections, without their ports."""
    saved = lab.in_node("node-1", "iptables-legacy-save", "-t", "nat").stdout
    return sorted(line.partition(" --to-ports")[0] for line in saved.splitlines() if "REDIRECT" in line)


def test_up_again_changes_nothing_and_ends_in_seconds(lab: Lab) -> None:
    before = dict(pids(lab))
    assert lab.up() < 15
    assert dict(pids(lab)) == before
    changed = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    assert ".peapod" not in changed


def pids(lab: Lab) -> list[tuple[str, str]]:
    lines = lab.make("status").stdout.splitlines()
    return [(columns[0], columns[2]) for columns in map(str.split, lines) if len(columns) >= 5 and "/" in columns[0]]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--lab", "Not A Name", "status"), "name"),
        (("--lab", "e2e", "up", "--nodes", "0"), "nodes"),
        (("--lab", "e2e", "daemon", "node-9/kubelet", "start"), "no daemon"),
    ],
)
def test_a_wrong_request_gets_one_clear_sentence(lab: Lab, arguments: tuple[str, ...], sentence: str) -> None:
    done = subprocess.run([sys.executable, "-m", "deploy.lab", *arguments], capture_output=True, text=True)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
