"""A lab for tests, driven as users drive it: with ``deploy.lab``, kubectl and curl."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from deploy.lab import commands, engine, leftovers, pids
from deploy.lab.lab import CHECKOUT, MASTER

T = TypeVar("T")


class Lab:
    """One lab under a name. Commands run with its kubeconfig; traffic stays in its namespaces."""

    def __init__(self, name: str, nodes: int = 2) -> None:
        self.name, self._nodes = name, nodes

    # -- the lab as a whole

    def make(self, verb: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """``make up`` and similar targets, for this lab."""
        command = [sys.executable, "-m", "deploy.lab", "--lab", self.name, verb, *arguments]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=180)
        if check and done.returncode != 0:
            raise AssertionError(f"{verb} failed with {done.returncode}:\n{done.stdout}{done.stderr}\n{self.logs()}")
        return done

    def up(self) -> float:
        """Bring it up. Returns the seconds that it took."""
        began = time.monotonic()
        self.make("up", "--nodes", str(self._nodes))
        return time.monotonic() - began

    def logs(self, lines: int = 15) -> str:
        """The last lines of the daemons' logs, for the report of a failure."""
        parts = []
        for path in sorted((self.state / "logs").glob("*/kube*.log")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n".join([f"==> {path}", *tail]))
        return "\n".join(parts)

    @property
    def lab(self) -> Any:
        return commands.lab_for(self.name)

    @property
    def state(self) -> Path:
        state: Path = self.lab.state
        return state

    @property
    def nodes(self) -> list[str]:
        nodes: list[str] = self.lab.nodes
        return nodes

    def node_address(self, node: str) -> str:
        return str(self.lab.node_address(node))

    def daemon(self, key: str, action: str) -> None:
        """``stop``, ``start``, ``pause`` ... one daemon, such as ``node-1/kubelet``.

        What was killed with ``kill`` stays away until ``start``; after ``crash`` the supervisor starts it again.
        """
        self.make("daemon", key, action)

    def cut_power(self) -> None:
        """Leave what a power cut leaves: the files on disk; no process, namespace, mount, cgroup or folder in /run."""
        lab = self.lab
        self.daemon("master/supervisor", "kill")
        for process in leftovers.strays(lab, [MASTER, *lab.nodes]):
            pids.kill(process)
        for namespace in lab.namespaces:
            subprocess.run(["ip", "netns", "delete", namespace], check=True)
        engine.unmount_below([folder(node) for node in lab.nodes for folder in (lab.node_state, lab.node_run)])
        engine.remove_cgroups(f"/peapod/{lab.name}")
        shutil.rmtree(lab.run)

    # -- inside

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        environment = {**os.environ, "KUBECONFIG": str(self.state / "kubeconfig"), "HOME": str(self.state)}
        done = subprocess.run(
            ["kubectl", *arguments], env=environment, input=stdin, capture_output=True, text=True, timeout=90
        )
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout if check else done.stdout + done.stderr

    def get(self, *arguments: str) -> Any:
        """The output of ``kubectl get ... -o json``."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.get(*arguments)["items"]
        return items

    def apply(self, *documents: dict[str, Any], namespace: str = "default") -> None:
        text = "\n".join(json.dumps(document) for document in documents)
        self.kubectl("apply", "-n", namespace, "-f", "-", stdin=text)

    def in_node(self, node: str, *command: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
        """Run a command in the network of a node or of ``master``."""
        entered = ["nsenter", f"--net=/run/netns/{self.lab.namespace(node)}", *command]
        return subprocess.run(entered, capture_output=True, text=True, timeout=timeout)

    def docker(self, node: str, *command: str) -> str:
        """Run the docker client for the node's engine."""
        call = ["/usr/bin/docker", "-H", f"unix://{engine.socket_of(self.lab, node)}", *command]
        done = subprocess.run(call, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def containers(self, node: str) -> set[str]:
        return set(self.docker(node, "ps", "--quiet", "--no-trunc").split())

    def pods(self, selector: str, namespace: str = "default") -> list[dict[str, Any]]:
        """Pods that are not being deleted."""
        pods = self.items("pods", "-n", namespace, "-l", selector)
        return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]

    def ready_pods(self, selector: str, count: int, namespace: str = "default", timeout: float = 60) -> list[Any]:
        """The pods, once there are exactly ``count`` and all are ready."""

        def ready() -> list[Any] | None:
            pods = self.pods(selector, namespace)
            return pods if len(pods) == count and all(is_ready(pod) for pod in pods) else None

        pods = eventually(ready, timeout)
        assert pods is not None
        return pods

    def fetch_in_pod(self, pod: dict[str, Any], url: str) -> str:
        """Fetch a URL with wget in a pod."""
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        return self.kubectl("exec", "-n", namespace, name, "--", "wget", "-T", "5", "-qO-", url).strip()

    def fetch_in_node(self, node: str, url: str) -> str:
        done = self.in_node(node, "curl", "-sS", "--fail", "--max-time", "5", url)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextmanager
    def namespace(self, name: str) -> Iterator[str]:
        """A namespace that is deleted afterwards."""
        self.kubectl("create", "namespace", name)
        try:
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false")


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def eventually(condition: Callable[[], T], timeout: float = 60, interval: float = 0.2) -> T:
    """Wait until ``condition`` returns something true, and return that; an AssertionError counts as not yet."""
    deadline = time.monotonic() + timeout
    while True:
        failure: AssertionError | None = None
        try:
            if result := condition():
                return result
        except AssertionError as error:
            failure = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"not true after {timeout} s") from failure
        time.sleep(interval)


def controller(name: str, replicas: int, **pod: Any) -> dict[str, Any]:
    """A replication controller of pods that answer with their name on port 8080."""
    container = {
        "name": "server",
        "image": "peapod/image-processing:1.0",
        "env": [{"name": "PORT", "value": "8080"}],
        "ports": [{"name": "http", "containerPort": 8080}],
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1, **pod}
    return {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"app": name},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }


def service(name: str, **spec: Any) -> dict[str, Any]:
    body = {"selector": {"app": name}, "ports": [{"port": 1234, "targetPort": "http"}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}


def sleeper(name: str, command: Sequence[str] = ("sleep", "3600"), **spec: Any) -> dict[str, Any]:
    """A pod for commands."""
    container = {"name": "main", "image": "busybox:1", "command": list(command)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }
