"""A Docker engine for each node, with its own containerd, data, socket, cgroups and iptables rules.

The host's engine, if there is one, is neither used nor disturbed: ours reads none of its configuration files, and has
its own containerd, since dockerd would otherwise use the host's. Containers outlive their engine (live restore), so an
engine can be restarted at any time.
"""

import ctypes
import json
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from deploy.lab import probes
from deploy.lab.errors import LabError
from deploy.lab.execute import attempt, program, run
from deploy.lab.lab import Lab
from deploy.lab.processes import Daemon

DOCKER = program("docker")
"""The distribution's client; another one may be first on the user's PATH."""
GRACE = 2
"""Seconds that ``down`` gives containers to stop on SIGTERM."""
_NO_OOM_SCORE = 25
"""The first Docker that does not set its own OOM score; from 26 on it rejects the setting."""
_OCTAL = re.compile(r"\\([0-7]{3})")
_CGROUPS = Path("/sys/fs/cgroup")
_libc = ctypes.CDLL(None, use_errno=True)


def socket_of(lab: Lab, node: str) -> Path:
    return lab.node_run(node) / "docker.sock"


def _containerd_socket(lab: Lab, node: str) -> Path:
    return lab.node_run(node) / "containerd.sock"


def _pid_file(lab: Lab, node: str) -> Path:
    return lab.node_run(node) / "docker.pid"


def data_root(lab: Lab, node: str) -> Path:
    return lab.node_state(node) / "docker"


def cgroup_of(lab: Lab, node: str) -> str:
    """The parent cgroup of all of a node's containers."""
    return f"/peapod/{lab.name}/{node}"


def prepare(lab: Lab, node: str) -> None:
    """Write the engine's configuration files, if they differ. Safe to repeat."""
    folder = lab.node_run(node)
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    data_root(lab, node).parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    _write(folder / "containerd.toml", _containerd_config(lab, node))
    _write(folder / "daemon.json", _engine_config(lab, node))


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _containerd_config(lab: Lab, node: str) -> str:
    return f"""\
version = 2
root = {json.dumps(str(lab.node_state(node) / "containerd"))}
state = {json.dumps(str(lab.node_run(node) / "containerd"))}
oom_score = 0
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
address = {json.dumps(str(_containerd_socket(lab, node)))}
"""


def oom_score_settings() -> dict[str, int]:
    """What keeps an older dockerd from lowering its own OOM score, for which not every host grants the capability."""
    return {"oom-score-adjust": 0} if docker_version() < _NO_OOM_SCORE else {}


def docker_version() -> int:
    """The engine's major version. Raises LabError if dockerd does not say."""
    output = run([program("dockerd"), "--version"])
    match = re.search(r"version (\d+)\.", output)
    if match is None:
        raise LabError(f"dockerd does not report its version, but {output.strip()!r}")
    return int(match[1])


def _engine_config(lab: Lab, node: str) -> str:
    """The engine's settings, for a separate file so that /etc/docker/daemon.json is not read."""
    settings: dict[str, Any] = {
        "hosts": [f"unix://{socket_of(lab, node)}"],
        "containerd": str(_containerd_socket(lab, node)),
        "data-root": str(data_root(lab, node)),
        "exec-root": str(lab.node_run(node) / "docker"),
        "pidfile": str(_pid_file(lab, node)),
        "bridge": "none",  # the kubelet creates the pods' bridge, with its node's pod CIDR
        "live-restore": True,
        "storage-driver": storage_driver(lab.node_state(node)),
        "exec-opts": ["native.cgroupdriver=cgroupfs"],  # the same on hosts with and without systemd
        "cgroup-parent": cgroup_of(lab, node),
        "group": "root",
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "3"},
    }
    settings |= oom_score_settings()
    return json.dumps(settings, indent=2) + "\n"


def storage_driver(folder: Path) -> str:
    """overlay2 if the file system of ``folder`` supports it, otherwise vfs. Found out by a trial mount."""
    chosen = folder / "storage-driver"
    if chosen.exists():  # an engine does not find its images under another driver
        return chosen.read_text().strip()
    trial = folder / "overlay-trial"
    folders = {name: trial / name for name in ("lower", "upper", "work", "merged")}
    for path in folders.values():
        path.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={folders['lower']},upperdir={folders['upper']},workdir={folders['work']}"
    mounted = attempt(["mount", "-t", "overlay", "overlay", "-o", options, str(folders["merged"])])
    if mounted.returncode == 0:
        run(["umount", str(folders["merged"])])
    run(["rm", "-rf", str(trial)])
    driver = "overlay2" if mounted.returncode == 0 else "vfs"
    chosen.write_text(driver + "\n")
    return driver


def daemons(lab: Lab, node: str) -> list[Daemon]:
    """A node's containerd and dockerd. dockerd waits for containerd, so both may be started at once."""
    folder, namespace = lab.node_run(node), lab.namespace(node)
    containerd_config, engine_config = folder / "containerd.toml", folder / "daemon.json"
    return [
        Daemon(
            node=node,
            name="containerd",
            namespace=namespace,
            argv=(program("containerd"), f"--config={containerd_config}"),
            healthy=probes.accepts(_containerd_socket(lab, node)),
            inputs=(containerd_config,),
        ),
        Daemon(
            node=node,
            name="dockerd",
            namespace=namespace,
            argv=(program("dockerd"), f"--config-file={engine_config}"),
            healthy=probes.http_on(socket_of(lab, node), "/_ping"),
            inputs=(engine_config,),
            # dockerd does not start while any process, even a zombie, has the pid in this file.
            stale=(_pid_file(lab, node),),
        ),
    ]


def docker(lab: Lab, node: str, *arguments: str, timeout: float = 60) -> str:
    """The output of Debian's docker client for one of the lab's engines. Raises LabError."""
    return run([DOCKER, "--host", f"unix://{socket_of(lab, node)}", *arguments], timeout=timeout)


def containers(lab: Lab, node: str, *filters: str) -> list[str]:
    """Ids of a node's containers; without filters all of them, including stopped ones."""
    options = [part for text in filters for part in ("--filter", text)] or ["--all"]
    return docker(lab, node, "ps", "--quiet", "--no-trunc", *options).split()


def remove_containers(lab: Lab, node: str) -> int:
    """Stop and remove all of a node's containers and networks. Returns the number of containers.

    Networks are removed because an engine that finds them in a new namespace does not create all of its chains there.
    Needs the node's engine.
    """
    ids = containers(lab, node)
    if ids:
        with suppress(LabError):  # a paused container cannot be stopped, but can be removed like the others
            docker(lab, node, "stop", "--time", str(GRACE), *ids)
        docker(lab, node, "rm", "--force", "--volumes", *ids)
    docker(lab, node, "network", "prune", "--force")
    return len(ids)


def has_containers_on_disk(lab: Lab, node: str) -> bool:
    """Whether the node's engine has containers, even if it does not run."""
    folder = data_root(lab, node) / "containers"
    return folder.is_dir() and any(folder.iterdir())


def shims(lab: Lab, node: str, command_lines: Callable[[], dict[int, list[str]]]) -> list[int]:
    """The shim processes of a node's running containers, found by the address of their containerd."""
    address = str(_containerd_socket(lab, node))
    return [
        pid for pid, words in command_lines().items() if words and "containerd-shim" in words[0] and address in words
    ]


def unmount_below(folders: list[Path]) -> int:
    """Unmount everything at or below these folders, innermost first. Returns the number of mounts."""
    mountinfo = os.fsdecode(Path("/proc/self/mountinfo").read_bytes())  # containers give names of any bytes
    points = mounts_below(mountinfo.split("\n")[:-1], folders)
    for point in points:
        detach = 2
        if _libc.umount2(os.fsencode(point), detach) != 0 and point.is_mount():
            raise LabError(f"{point} cannot be unmounted: {os.strerror(ctypes.get_errno())}")
    return len(points)


def mounts_below(mountinfo: list[str], folders: list[Path]) -> list[Path]:
    """Mount points at or below ``folders`` in the lines of mountinfo, the last mounted first."""
    points = []
    for line in mountinfo:
        # The kernel writes blanks and backslashes of a path as octal escapes.
        point = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), line.split(" ")[4]))
        if any(point == folder or folder in point.parents for folder in folders):
            points.append(point)
    return points[::-1]


def processes_in_cgroup(path: str, root: Path = _CGROUPS) -> set[int]:
    """All processes of a cgroup and those below it: of containers too whose shim has died, which nothing else names."""
    pids: set[int] = set()
    for top in _hierarchies(path, root):
        for folder, _, files in os.walk(top):
            if "cgroup.procs" in files:
                with suppress(OSError):  # removed meanwhile
                    pids.update(map(int, Path(folder, "cgroup.procs").read_text().split()))
    return pids - {0}  # processes that this namespace does not see


def _hierarchies(path: str, root: Path) -> list[Path]:
    """A cgroup in every hierarchy; it need not exist."""
    return [base / path.lstrip("/") for base in [root, *(part for part in root.iterdir() if part.is_dir())]]


def remove_cgroups(path: str, seconds: float = 3) -> None:
    """Remove a cgroup and all below it in every hierarchy; their processes must have ended."""
    deadline = time.monotonic() + seconds
    for top in _hierarchies(path, _CGROUPS):
        if not top.is_dir():
            continue
        for folder, _, _ in os.walk(top, topdown=False):
            while True:
                try:
                    os.rmdir(folder)
                except FileNotFoundError:
                    pass
                except OSError as error:  # a process that just ended may still be accounted there
                    if time.monotonic() < deadline:
                        time.sleep(0.02)
                        continue
                    raise LabError(f"the cgroup {folder} cannot be removed: {error.strerror}") from error
                break
