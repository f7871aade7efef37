"""What is stored is what was sent: objects of every resource go into etcd's form and come back whole."""

import ipaddress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apimachinery import codec
from apimachinery.schema import protobuf
from apiserver.registry.builtin import builtin
from apiserver.registry.resource import ResourceInfo
from apiserver.registry.resources import Resources
from apiserver.storage.objects import from_value, to_value
from tests.unit.apimachinery.examples import documents

ROWS = builtin(Resources(), ipaddress.IPv4Network("10.0.0.0/24"), range(30000, 30010))


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("info", ROWS, ids=lambda info: info.resource.plural)
@given(data=st.data())
def test_nothing_is_lost_on_the_way_to_storage_and_back(info: ResourceInfo[Any], data: st.DataObject) -> None:
    document = data.draw(documents(info.definition))
    document.setdefault("metadata", {}).pop("resourceVersion", None)
    sent = codec.from_builtins(document, info.type)
    stored = from_value("key", to_value(sent), 7, info.type)
    shown = codec.parse(stored.data)
    assert shown["metadata"].pop("resourceVersion") == "7"
    assert (shown.pop("kind"), shown.pop("apiVersion")) == (info.resource.kind, info.resource.api_version)
    assert lost(document, shown) == []
    assert codec.to_builtins(stored.object) == codec.parse(stored.data)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize(
    "info",
    [info for info in ROWS if protobuf.has_message(info.definition or "")],
    ids=lambda info: info.resource.plural,
)
@given(data=st.data())
def test_what_comes_in_protobuf_is_stored_as_what_it_says(info: ResourceInfo[Any], data: st.DataObject) -> None:
    version, kind = info.resource.api_version, info.resource.kind
    sent = {"apiVersion": version, "kind": kind, **data.draw(documents(info.definition))}
    sent.setdefault("metadata", {}).pop("resourceVersion", None)
    _, _, read = protobuf.decode(protobuf.encode(sent, info.definition or "", version, kind))
    stored = from_value("key", to_value(codec.from_builtins(read, info.type)), 7, info.type)
    assert lost(read, codec.parse(stored.data)) == []


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """The places of a document that are gone or changed; empty maps are left out, as in Go."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            place
            for key, one in before.items()
            for place in (lost(one, after[key], f"{path}.{key}") if key in after else _gone(one, f"{path}.{key}"))
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [place for i, one in enumerate(before) for place in lost(one, after[i], f"{path}[{i}]")]
    return [] if before == after else [path]


def _gone(value: Any, path: str) -> list[str]:
    return [] if value in ({}, []) else [path]
