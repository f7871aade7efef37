"""The oldest and the newest supported kubectl, and one document of each kind for the tests with them."""

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any, Self

import yaml

from tests import kubectls
from tests.e2e.lab import Lab, eventually
from tests.integration.apiserver.objects import CONTAINER, controller

NEW, OLD = "1.32", "1.20"

KINDS = (
    "namespaces", "nodes", "configmaps", "secrets", "pods", "replicationcontrollers", "services", "endpoints",
    "deployments.apps", "jobs.batch",
)  # fmt: skip

ROOT_CA = "kube-root-ca.crt"
"""Each namespace has it."""
OTHERS = f"--field-selector=metadata.name!={ROOT_CA}"


class Kubectl:
    """One kubectl with its own home and so its own discovery cache; in a namespace."""

    def __init__(self, version: str, lab: Lab, home: Path, namespace: str) -> None:
        self.version, self.namespace, self.is_old = version, namespace, version == OLD
        self._program = str(kubectls.program(kubectls.OLD)) if self.is_old else "kubectl"
        self._environment = {**os.environ, "KUBECONFIG": str(lab.state / "kubeconfig"), "HOME": str(home)}

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [self._program, "-n", self.namespace, *arguments], env={**self._environment, **environment}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str, stdin: str = "", code: int = 0, **environment: str) -> str:
        """Its standard output; with ``code``, for a call that should fail, both streams."""
        process = self.start(*arguments, **environment)
        try:
            out, err = process.communicate(stdin, timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"kubectl {' '.join(arguments)} does not end: {out}{err}") from None
        assert process.returncode == code, f"kubectl {' '.join(arguments)}: {process.returncode}: {out}{err}"
        return out + err if code else out

    def follow(self, *arguments: str) -> "Followed":
        return Followed(self.start(*arguments))

    def json(self, *arguments: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run(*arguments, "-o", "json"))
        return document


class Followed:
    """A kubectl that keeps printing until the block ends; it is killed after 20 seconds."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._guard = threading.Timer(20, process.kill)

    def __enter__(self) -> Self:
        self._guard.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._guard.cancel()
        self._process.kill()
        self._process.communicate()

    def line(self) -> str:
        """The next line; empty at the end."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def wait_for_request(self, part: str) -> None:
        """Wait until it has made a request with ``part`` in its URL; start it with ``-v=6``."""
        assert self._process.stderr is not None
        while part not in (line := self._process.stderr.readline()):
            assert line, f"it ended without a request for {part}"

    def exit_code(self) -> int:
        self._process.communicate()
        return self._process.returncode


def documents(namespace: str) -> list[dict[str, Any]]:
    """One object of each kind; names of cluster-scoped ones begin with the namespace's.

    Nothing in the cluster changes them: the pod names an unknown scheduler, the controller has no replicas, and the
    service has hand-written endpoints.
    """
    web = controller("web", replicas=0)["spec"]
    subset = {"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80, "protocol": "TCP"}]}
    task = {"restartPolicy": "Never", "containers": [CONTAINER]}
    bodies: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        ("v1", "Namespace", f"{namespace}-more", {}),
        ("v1", "Node", f"{namespace}-node", {"spec": {"podCIDR": "10.9.9.0/24"}}),
        ("v1", "ConfigMap", "web", {"data": {"a": "1"}}),
        ("v1", "Secret", "web", {"data": {"a": "MQ=="}}),
        ("v1", "Pod", "web", {"spec": {"containers": [CONTAINER], "schedulerName": "nobody"}}),
        ("v1", "ReplicationController", "web", {"spec": web}),
        ("v1", "Endpoints", "web", {"subsets": [subset]}),
        ("v1", "Service", "web", {"spec": {"ports": [{"port": 80}]}}),
        ("apps/v1", "Deployment", "web", {"spec": {**web, "selector": {"matchLabels": {"app": "web"}}}}),
        ("batch/v1", "Job", "web", {"spec": {"template": {"spec": task}}}),
    )  # fmt: skip
    return [
        {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": {"tier": "back"}}, **body}
        for version, kind, name, body in bodies
    ]


def resource_name(document: dict[str, Any]) -> str:
    """How kubectl names an object: ``deployment.apps/web``."""
    group, _, version = document["apiVersion"].rpartition("/")
    kind = document["kind"].lower() + (f".{group}" if group else "")
    assert version
    return f"{kind}/{document['metadata']['name']}"


def text(sent: list[dict[str, Any]], **labels: str) -> str:
    """All documents as YAML, with these labels added."""
    labelled = []
    for document in sent:
        metadata = {**document["metadata"], "labels": {**document["metadata"]["labels"], **labels}}
        labelled.append({**document, "metadata": metadata})
    return str(yaml.safe_dump_all(labelled))


def editor(path: Path, program: str) -> dict[str, str]:
    """The environment in which kubectl edits with this sed program."""
    path.write_text(f'#!/bin/sh\nexec sed -i "{program}" "$1"\n')
    os.chmod(path, 0o755)
    return {"KUBE_EDITOR": str(path)}


def settled(kubectl: Kubectl) -> None:
    """Wait until the node without a kubelet is marked unreachable: after that nothing changes it any more."""
    taints = ("get", "node", f"{kubectl.namespace}-node", "-o", "jsonpath={.spec.taints[*].key}")
    eventually(lambda: "unreachable" in kubectl.run(*taints))


def lines(kubectl: Kubectl, end: str) -> list[str]:
    """kubectl's output for an operation on all documents."""
    return [f"{resource_name(document)} {end}" for document in documents(kubectl.namespace)]
