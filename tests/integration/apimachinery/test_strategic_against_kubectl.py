"""Strategic merge gives what ``kubectl patch --local`` gives for the same object and patch."""

import json
import subprocess
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apimachinery import codec, patch
from apimachinery.errors import ApiError
from apimachinery.types import core_v1
from tests.unit.apimachinery.examples import POD, SERVICE, pod, service


def kubectl(current: dict[str, Any], change: dict[str, Any]) -> Any | None:
    """What kubectl makes of it; None if it refuses."""
    command = [
        "kubectl",
        "patch",
        "--local",
        "-f",
        "-",
        "--type",
        "strategic",
        "-o",
        "json",
        "-p",
        json.dumps(change),
    ]
    done = subprocess.run(command, input=json.dumps(current), capture_output=True, text=True, timeout=30, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def ours(current: dict[str, Any], change: dict[str, Any], definition: str) -> Any | None:
    try:
        return patch.apply("strategic", current, json.dumps(change).encode(), definition)
    except ApiError:
        return None


def normal(document: Any, cls: type) -> Any:
    """As the typed object has it: without nulls, and without fields that nobody knows."""
    return None if document is None else codec.to_builtins(codec.from_builtins(_pruned(document), cls))


def _pruned(value: Any) -> Any:
    """Go omits what is empty, and writes some empties that others omit."""
    if isinstance(value, dict):
        pruned = {key: _pruned(one) for key, one in value.items()}
        return {key: one for key, one in pruned.items() if one not in ({}, [], None)}
    return [_pruned(element) for element in value] if isinstance(value, list) else value


def agree(current: dict[str, Any], change: dict[str, Any]) -> None:
    cls, definition = (core_v1.Pod, POD) if current["kind"] == "Pod" else (core_v1.Service, SERVICE)
    assert normal(ours(current, change, definition), cls) == normal(kubectl(current, change), cls)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"spec": {"containers": [{"name": "web", "image": "new"}]}}, id="element merged by its key"),
        pytest.param({"spec": {"containers": [{"name": "third", "image": "new"}]}}, id="element added"),
        pytest.param({"spec": {"containers": [{"name": "web", "$patch": "delete"}]}}, id="element deleted"),
        pytest.param({"spec": {"containers": [{"$patch": "replace"}, {"name": "x", "image": "y"}]}}, id="replaced"),
        pytest.param({"metadata": {"labels": {"$patch": "replace", "z": "1"}}}, id="map replaced"),
        pytest.param({"metadata": {"labels": {"$patch": "delete"}}}, id="map deleted"),
        pytest.param({"metadata": {"labels": {"tier": None, "z": "1"}}}, id="null deletes"),
        pytest.param({"metadata": {"finalizers": ["x/y", "example.com/b"]}}, id="scalars merge as a set"),
        pytest.param({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/b"]}}, id="scalar deleted"),
        pytest.param(
            {"metadata": {"$setElementOrder/finalizers": ["example.com/c", "example.com/a"]}}, id="scalars ordered"
        ),
        pytest.param(
            {
                "metadata": {
                    "$setElementOrder/finalizers": ["n/n", "example.com/c"],
                    "$deleteFromPrimitiveList/finalizers": ["example.com/a"],
                    "finalizers": ["n/n"],
                }
            },
            id="scalars ordered, added and deleted",
        ),
        pytest.param(
            {
                "spec": {
                    "$setElementOrder/containers": [{"name": "sidecar"}, {"name": "new"}, {"name": "web"}],
                    "containers": [{"name": "new", "image": "n"}],
                }
            },
            id="elements ordered",
        ),
        pytest.param(
            {"spec": {"volumes": [{"name": "data", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}},
            id="retainKeys swaps a union's member",
        ),
        pytest.param(
            {"spec": {"volumes": [{"name": "data", "$retainKeys": ["name"], "hostPath": {"path": "/x"}}]}},
            id="retainKeys must name what the patch sets",
        ),
        pytest.param({"spec": {"containers": [{"image": "no name"}]}}, id="merge key missing"),
        pytest.param({"spec": {"containers": [{"name": "web", "$patch": "odd"}]}}, id="unknown directive"),
        pytest.param(
            {
                "spec": {
                    "$setElementOrder/containers": [{"name": "web"}],
                    "containers": [{"name": "q", "image": "x"}],
                }
            },
            id="order list lacks an element",
        ),
        pytest.param(
            {"spec": {"containers": [{"name": "web", "ports": [{"containerPort": 8080, "name": "h"}]}]}},
            id="ports",
        ),
        pytest.param({"spec": {"containers": [{"name": "web", "command": ["x"]}]}}, id="other lists are replaced"),
        pytest.param({"spec": {"nodeSelector": {"a": "b"}}}, id="maps merge"),
        pytest.param({"spec": {"tolerations": [{"key": "b"}]}}, id="tolerations are replaced"),
        pytest.param({"spec": {"securityContext": {"runAsUser": 5}, "hostname": "h"}}, id="new values"),
        pytest.param({"spec": {"dnsConfig": {"$patch": "replace", "nameservers": ["1.1.1.1"]}}}, id="directive on new"),
        pytest.param(
            {"$patch": "replace", "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "w"}},
            id="everything replaced",
        ),
    ],
)
def test_a_pod_patch_gives_what_kubectl_gives(change: dict[str, Any]) -> None:
    agree(pod(), change)


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"ports": [{"port": 80, "name": "web"}]}},
        {"spec": {"ports": [{"port": 53, "$patch": "delete"}, {"port": 443}]}},
        {"spec": {"$setElementOrder/ports": [{"port": 53}, {"port": 80}]}},
        {"spec": {"selector": {"app": None, "x": "y"}}},
    ],
)
def test_a_service_patch_gives_what_kubectl_gives(change: dict[str, Any]) -> None:
    agree(service(), change)


_NAMES = st.sampled_from(["web", "sidecar", "new", "other"])
_CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": _NAMES},
        optional={
            "image": st.sampled_from(["a", "b", None]),
            "command": st.lists(st.sampled_from("abc"), max_size=2),
            "env": st.lists(st.fixed_dictionaries({"name": st.sampled_from("ABC")}, optional={"value": st.just("v")})),
            "$patch": st.sampled_from(["delete", "delete", "replace"]),
            "livenessProbe": st.sampled_from([None, {"$patch": "replace", "periodSeconds": 5}, {"httpGet": None}]),
        },
    ),
    max_size=3,
    unique_by=lambda one: one["name"],
)
_FINALIZERS = st.lists(st.sampled_from(["example.com/a", "example.com/b", "z/z", "y/y"]), max_size=3, unique=True)
_METADATA = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.dictionaries(st.sampled_from(["app", "tier", "x"]), st.sampled_from(["1", None]), max_size=3),
        "$deleteFromPrimitiveList/finalizers": st.lists(st.sampled_from(["example.com/a", "example.com/c"])),
        "$setElementOrder/finalizers": st.permutations(["example.com/c", "example.com/b", "example.com/a"]),
    },
)
_PORTS = st.lists(
    st.fixed_dictionaries({"port": st.sampled_from([80, 53, 443])}, optional={"name": st.sampled_from(["a", None])}),
    max_size=3,
    unique_by=lambda one: one["port"],
)

_PATCHES = st.fixed_dictionaries(
    {}, optional={"metadata": _METADATA, "spec": st.fixed_dictionaries({"containers": _CONTAINERS})}
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(_PATCHES)
def test_random_pod_patches_give_what_kubectl_gives(change: dict[str, Any]) -> None:
    agree(pod(), change)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.fixed_dictionaries({"ports": _PORTS}))
def test_random_service_patches_give_what_kubectl_gives(spec: dict[str, Any]) -> None:
    agree(service(), {"spec": spec})
