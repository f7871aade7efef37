"""Objects that several tests use, and hypothesis strategies for documents of any definition."""

import base64
import copy
from typing import Any

from hypothesis import strategies as st

from apimachinery.schema.definitions import GVK, definitions, target

POD = "io.k8s.api.core.v1.Pod"
SERVICE = "io.k8s.api.core.v1.Service"

_CONTAINER: dict[str, Any] = {
    "image": "docker.io/library/nginx:1.27",
    "command": ["/bin/sh", "-c", "exec server --port 8080"],
    "ports": [
        {"name": "http", "containerPort": 8080, "protocol": "TCP"},
        {"name": "metrics", "containerPort": 9090, "protocol": "TCP"},
    ],
    "env": [
        {"name": "A", "value": "1"},
        {"name": "POD", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
    ],
    "resources": {"limits": {"cpu": "500m", "memory": "128Mi"}, "requests": {"cpu": "100m"}},
    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10},
    "imagePullPolicy": "IfNotPresent",
    "securityContext": {"capabilities": {"drop": ["ALL"]}, "runAsUser": 0, "privileged": False},
}


def pod() -> dict[str, Any]:
    """A pod as people write them, about 2 kB; the caller's own to change."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "labels": {"app": "web", "tier": "front"},
            "annotations": {"example.com/note": "x"},
            "finalizers": ["example.com/a", "example.com/b", "example.com/c"],
        },
        "spec": {
            "containers": [{"name": name, **copy.deepcopy(_CONTAINER)} for name in ("web", "sidecar")],
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "conf"}}],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 0,
            "nodeSelector": {"disk": "ssd"},
            "securityContext": {},
            "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
        },
        "status": {"phase": "Pending"},
    }


def service() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"app": "web"},
            "ports": [
                {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"},
                {"name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP"},
            ],
        },
        "status": {"loadBalancer": {}},
    }


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    _QUANTITY: st.sampled_from(["1", "100m", "1Gi", "0", "2k"]),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": st.integers(0, 65535) | st.text("abc", min_size=1, max_size=5),
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": st.integers(1, 4_000_000_000).map(
        lambda n: f"20{n % 90 + 10}-0{n % 9 + 1}-1{n % 10}T0{n % 10}:1{n % 10}:2{n % 10}Z"
    ),
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": st.integers(1, 999_999).map(
        lambda n: f"2026-03-04T05:06:07.{n:06}Z"
    ),
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": st.just({"f:metadata": {"f:labels": {"f:a": {}}}}),
    "io.k8s.apimachinery.pkg.runtime.RawExtension": st.just({"kind": "X", "n": [1, None, {"a": "b"}]}),
}


def kinds() -> list[tuple[str, str, str]]:
    """Every kind of the data: definition, apiVersion, kind."""
    rows = []
    for name, definition in definitions().items():
        for gvk in definition.get(GVK, ())[:1]:
            api_version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
            rows.append((name, api_version, gvk["kind"]))
    return rows


@st.composite
def documents(draw: st.DrawFn, name: str, depth: int = 4) -> dict[str, Any]:
    """Builtins that decode as a definition, with a few fields at each level."""
    properties = definitions()[name].get("properties", {})
    known = [key for key in properties if not (key in ("kind", "apiVersion") and GVK in definitions()[name])]
    chosen = draw(st.lists(st.sampled_from(known), max_size=4, unique=True)) if known else []
    return {key: draw(_values(properties[key], depth - 1)) for key in chosen if depth or not _is_deep(properties[key])}


def _is_deep(field: dict[str, Any]) -> bool:
    return "$ref" in field or field.get("type") in ("array", "object")


def _values(field: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    if (name := target(field)) is not None:
        if name in _SCALARS:
            return _SCALARS[name]
        return documents(name, depth) if depth > 0 else st.just({})
    match field.get("type"):
        case "array":
            return st.lists(_values(field["items"], depth - 1), min_size=1, max_size=2)
        case "object":
            values = field.get("additionalProperties", {"type": "string"})
            return st.dictionaries(st.text("abc", min_size=1, max_size=3), _values(values, depth - 1), min_size=1)
        case "integer":
            return st.integers(1, 2**31 - 1)
        case "boolean":
            return st.just(True)
        case "number":
            return st.floats(0, 1)
    if field.get("format") == "byte":
        return st.binary(min_size=1, max_size=8).map(lambda raw: base64.b64encode(raw).decode())
    return _TEXT.filter(bool)
