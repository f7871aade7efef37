"""The lab's requests to the apiserver: plain HTTP, as the administrator."""

import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any

import httpx

from deploy.lab.daemons import client_context
from deploy.lab.errors import LabError
from deploy.lab.lab import Lab

Object = dict[str, Any]
PODS, CONTROLLERS = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/replicationcontrollers"
SERVICES, NODES = "/api/v1/namespaces/default/services", "/api/v1/nodes"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces"
NODE_LEASES = f"{_LEASES}/kube-node-lease/leases"
EPOCH = "1970-01-01T00:00:00Z"
ELECTED = ("kube-scheduler", "kube-controller-manager")
"""Daemons that act only while they hold the Lease of their name."""


class Api:
    """A connection to the lab's apiserver. Raises LabError, with the server's own message."""

    def __init__(self, lab: Lab) -> None:
        self._client = httpx.Client(base_url=lab.server, verify=client_context(lab), timeout=10, trust_env=False)

    def __enter__(self) -> "Api":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, **query: str) -> Object | None:
        """An object, or None if it does not exist."""
        answer = self._request("GET", path, params=query)
        return None if answer.status_code == httpx.codes.NOT_FOUND else self._object(answer)

    def items(self, path: str, **query: str) -> list[Object]:
        answer = self.get(path, **query)
        return list(answer.get("items") or []) if answer else []

    def create(self, path: str, document: Object) -> bool:
        """Create an object. Returns False if one of its name exists."""
        answer = self._request("POST", path, json=document)
        if answer.status_code == httpx.codes.CONFLICT:
            return False
        self._object(answer)
        return True

    def delete(self, path: str) -> None:
        """Delete an object if it exists."""
        answer = self._request("DELETE", path)
        if answer.status_code != httpx.codes.NOT_FOUND:
            self._object(answer)

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise LabError(f"the apiserver does not answer {method} {path}: {error}") from error

    @staticmethod
    def _object(answer: httpx.Response) -> Object:
        try:
            document: Object = answer.json()
        except ValueError:
            document = {"message": answer.text}
        if answer.is_error:
            message = document.get("message") or answer.reason_phrase
            raise LabError(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {message}")
        return document


def wait_for(what: str, condition: Callable[[], bool], seconds: float) -> None:
    """Wait until the condition holds. Raises LabError, which names ``what``, after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"timed out after {seconds:g} s waiting for {what}")
        time.sleep(0.2)


def condition(document: Object, kind: str) -> bool:
    """Whether a condition of an object's status is True."""
    conditions = document.get("status", {}).get("conditions") or []
    return any(item["type"] == kind and item["status"] == "True" for item in conditions)


def ready_nodes(api: Api, since: dict[str, float]) -> set[str]:
    """The nodes that are Ready and whose kubelets have renewed their leases since they started.

    ``since`` is each kubelet's start time by node (seconds since 1970): an older status in etcd may be outdated.
    """
    beats = {lease["metadata"]["name"]: lease.get("spec", {}).get("renewTime") for lease in api.items(NODE_LEASES)}
    return {
        name
        for node in api.items(NODES)
        if (name := node["metadata"]["name"]) in since
        and condition(node, "Ready")
        and beats.get(name)
        and seconds_of(beats[name]) >= since[name]
    }


def leads(api: Api, since: dict[str, float]) -> bool:
    """Whether each of the daemons has renewed its Lease since it started (seconds since 1970)."""
    for name, started in since.items():
        lease = api.get(f"{_LEASES}/kube-system/leases/{name}")
        spec = lease.get("spec", {}) if lease else {}
        if not spec.get("holderIdentity") or seconds_of(spec.get("renewTime") or EPOCH) < started:
            return False
    return True


def forget_nodes_but(api: Api, nodes: Sequence[str]) -> None:
    """Delete the nodes that the lab no longer has, so that their pods are replaced at once.

    Nodes with other names than ``node-<number>`` stay: the user has created them.
    """
    for node in api.items(NODES):
        name = node["metadata"]["name"]
        if re.fullmatch(r"node-\d+", name) and name not in nodes:
            api.delete(f"{NODES}/{name}")


def seconds_of(timestamp: str) -> float:
    """An API timestamp in seconds since 1970."""
    return datetime.fromisoformat(timestamp).timestamp()


def ready_pods(pods: Sequence[Object]) -> list[Object]:
    return [pod for pod in pods if condition(pod, "Ready") and not pod["metadata"].get("deletionTimestamp")]
