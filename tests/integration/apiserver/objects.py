"""The smallest objects of each kind that the server takes, and what tests ask of answers again and again."""

from typing import Any

import httpx

CONTAINER = {"name": "c", "image": "busybox:1.36"}


def pod(name: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {"containers": [dict(CONTAINER)], **spec}}


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels or {}}, "data": data}


def controller(name: str, replicas: int = 1) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [dict(CONTAINER)]}}
    return {"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": labels, "template": template}}


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


def event(name: str, namespace: str, **fields: Any) -> dict[str, Any]:
    involved = {"kind": "Pod", "namespace": namespace, "name": "p", "uid": "1234"}
    return {"metadata": {"name": name}, "involvedObject": involved, "reason": "Started", "type": "Normal", **fields}


NAMESPACED: dict[str, dict[str, Any]] = {
    "configmaps": {"data": {"a": "1"}},
    "endpoints": {"subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}]},
    "events": {"reason": "Started"},
    "pods": {"spec": {"containers": [CONTAINER]}},
    "replicationcontrollers": {"spec": controller("x")["spec"]},
    "secrets": {"stringData": {"a": "1"}},
    "services": {"spec": {"ports": [{"port": 80}]}},
}


def blank(plural: str, name: str, namespace: str) -> dict[str, Any]:
    """An object of a namespaced resource of the core group."""
    made = {**NAMESPACED[plural], "metadata": {"name": name}}
    if plural == "events":
        made["involvedObject"] = {"kind": "Pod", "namespace": namespace, "name": "p"}
    return made


def created(reply: httpx.Response) -> dict[str, Any]:
    assert reply.status_code == 201, reply.text
    body: dict[str, Any] = reply.json()
    return body


def ok(reply: httpx.Response) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


def refused(reply: httpx.Response, code: int, reason: str, *texts: str) -> dict[str, Any]:
    """The Status of a refusal, which must say all of ``texts``."""
    assert reply.status_code == code, reply.text
    status: dict[str, Any] = reply.json()
    assert (status["kind"], status["apiVersion"], status["status"]) == ("Status", "v1", "Failure")
    assert (status["code"], status["reason"]) == (code, reason)
    for text in texts:
        assert text in status["message"], status["message"]
    return status


def causes(reply: httpx.Response) -> set[tuple[str, str]]:
    """Field and reason of all that is wrong with an object."""
    status = refused(reply, 422, "Invalid")
    return {(cause["field"], cause["reason"]) for cause in status["details"]["causes"]}


def names(reply: httpx.Response) -> list[str]:
    return [item["metadata"]["name"] for item in ok(reply)["items"]]


def name_of(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def is_not_typed(reply: httpx.Response) -> bool:
    """Whether the server refuses an apply patch for the types of its fields: 500, as in Kubernetes."""
    text: str = reply.json()["message"]
    return reply.status_code == 500 and text.startswith("failed to create typed patch object")
