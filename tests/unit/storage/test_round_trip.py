"""An object of any kind, sent in protobuf, stored and read back, is what was sent."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apimachinery import codec
from apimachinery.schema import protobuf
from apiserver.registry.resource import ResourceInfo
from apiserver.storage.objects import from_value, to_value
from tests.unit.apimachinery.examples import documents
from tests.unit.apiserver.registry.rows import ROWS

_STORED = [row for row in ROWS if row.answer is None and row.definition and protobuf.has_message(row.definition)]


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("row", _STORED, ids=[f"{one.resource.api_version}.{one.resource.kind}" for one in _STORED])
@given(data=st.data())
def test_json_to_protobuf_to_store_to_json(row: ResourceInfo[Any], data: st.DataObject) -> None:
    version, kind = row.resource.api_version, row.resource.kind
    assert row.definition is not None
    sent = {"apiVersion": version, "kind": kind, **data.draw(documents(row.definition))}
    _, _, read = protobuf.decode(protobuf.encode(sent, row.definition, version, kind))
    obj = codec.from_builtins(read, row.type)
    stored = from_value("key", to_value(obj), 7, row.type)
    assert stored.object.metadata.resource_version == "7"
    assert codec.parse(stored.data) == codec.to_builtins(stored.object)
    obj.metadata.resource_version = "7"
    assert codec.parse(stored.data) == codec.to_builtins(obj)
