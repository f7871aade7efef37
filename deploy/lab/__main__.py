"""``python -m deploy.lab``: bring a lab up and down, show its status, and control single daemons."""

import argparse
import signal
import sys
from collections.abc import Callable

from deploy.lab import commands, daemons, pids, processes, status
from deploy.lab.checks import check_root
from deploy.lab.errors import LabError
from deploy.lab.lab import AS_PROCESS, IN_PODS, Lab, locked, validate_name
from deploy.lab.processes import Daemon
from deploy.lab.progress import complain, say

NOT_WELL = 3
"""The exit code of ``status`` when something does not run or is unhealthy."""


def main() -> int:
    """Run one command. Returns 0, or 1 after a sentence on stderr that says what is wrong."""
    options = _parser().parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that ``up`` rolls back when it is stopped
        signal.signal(number, _interrupt)
    try:
        return _run(options)
    except LabError as error:
        complain(f"peapod: {error}")
        return 1
    except KeyboardInterrupt:
        complain("peapod: interrupted")
        return 130


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.lab", description=__doc__)
    parser.add_argument("--lab", default="", metavar="NAME", help="the lab's name; the default lab has none")
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="start what does not run, wait until it is ready, run the example")
    up.add_argument("--nodes", type=int, help="number of nodes (2 for a new lab, otherwise unchanged)")
    up.add_argument(
        "--egress",
        action=argparse.BooleanOptionalAction,
        help="let nodes and pods reach the outside (no for a new lab, otherwise unchanged)",
    )
    up.add_argument(
        "--dns",
        choices=(AS_PROCESS, IN_PODS),
        help="how the name server runs (process for a new lab, otherwise unchanged)",
    )
    up.add_argument(
        "--infrastructure-only", action="store_true", help="network, etcd and engines; no Kubernetes daemons"
    )
    verbs.add_parser("down", help="stop and remove everything on this machine, keep the state")
    verbs.add_parser("stop", help="stop etcd and the daemons, keep engines and containers running")
    verbs.add_parser("defrag", help="make room in etcd when it is full")
    verbs.add_parser("clean", help="down, and remove the state")
    verbs.add_parser("status", help="show what runs; exit code 3 unless all of it is healthy")
    daemon = verbs.add_parser("daemon", help="control one daemon, for tests and experiments")
    daemon.add_argument("key", help="for instance master/kube-apiserver or node-1/kubelet")
    daemon.add_argument("action", choices=sorted(_ACTIONS))
    return parser


def _run(options: argparse.Namespace) -> int:
    name = validate_name(options.lab)
    if options.verb == "status":
        check_root()
        return 0 if status.show(commands.lab_for(name)) else NOT_WELL
    if options.verb == "daemon":
        check_root()
        lab = commands.lab_for(name)
        _ACTIONS[options.action](lab, _find(lab, options.key))
        return 0
    check_root()
    with locked(name):
        if options.verb == "up":
            lab = commands.lab_for(name, options.nodes, options.egress, options.dns)
            commands.up(lab, options.infrastructure_only)
        else:
            verb: Callable[[Lab], None] = getattr(commands, options.verb)
            verb(commands.lab_for(name))
    return 0


def _find(lab: Lab, key: str) -> Daemon:
    rows = {row.key: row for row in daemons.table(lab)}
    if key not in rows:
        raise LabError(f"there is no daemon {key!r}; there are {', '.join(rows)}")
    return rows[key]


def _start(lab: Lab, row: Daemon) -> None:
    processes.start(lab, row)
    processes.wait_healthy(lab, [row], commands.READY)


def _restart(lab: Lab, row: Daemon) -> None:
    processes.stop(lab, [row])
    _start(lab, row)


def _signal(number: signal.Signals) -> Callable[[Lab, Daemon], None]:
    def send(lab: Lab, row: Daemon) -> None:
        process = processes.running(lab, row)
        if process is None or not process.signal(number):
            raise LabError(f"{row.key} is not running")

    return send


def _crash(lab: Lab, row: Daemon) -> None:
    """SIGKILL, and wait until it is gone; the supervisor starts it again."""
    process = processes.running(lab, row)
    if process is None:
        raise LabError(f"{row.key} is not running")
    pids.kill(process)


_ACTIONS: dict[str, Callable[[Lab, Daemon], object]] = {
    "start": _start,
    "stop": lambda lab, row: processes.stop(lab, [row]),
    "restart": _restart,
    "kill": processes.kill,  # and it stays so until "start"
    "crash": _crash,
    "pause": _signal(signal.SIGSTOP),
    "continue": _signal(signal.SIGCONT),
    "log": lambda lab, row: say(processes.last_lines(lab, row, 50)),
}


if __name__ == "__main__":
    sys.exit(main())
