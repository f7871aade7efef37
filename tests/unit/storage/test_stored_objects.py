"""How an object and an event are encoded."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import codec, errors
from apimachinery.types import core_v1, meta_v1
from apiserver.storage.objects import Event, Stored, from_value, to_value

TEXT = st.text(max_size=20) | st.sampled_from(['"metadata":{', '{"metadata":{}}', "\\", '"', "}"])


def stored(name: str, revision: int, **labels: str) -> Stored[core_v1.Pod]:
    pod = core_v1.Pod(metadata=meta_v1.ObjectMeta(name=name, labels=labels or None))
    return from_value(f"/registry/core/pods/default/{name}", to_value(pod), revision, core_v1.Pod)


@given(st.dictionaries(TEXT, TEXT, max_size=3), TEXT, TEXT, st.integers(1, 2**62))
def test_the_revision_is_put_in_and_nothing_else_changes(labels: dict, name: str, value: str, revision: int) -> None:
    obj = core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name=name or None, labels=labels or None), data={value: value})
    made = from_value("k", to_value(obj), revision, core_v1.ConfigMap)
    assert made.object.metadata.resource_version == str(revision)
    assert codec.decode(made.data, core_v1.ConfigMap) == made.object
    made.object.metadata.resource_version = None
    assert made.object == obj


@pytest.mark.parametrize(
    "value",
    [
        b'{"metadata":{}}',
        b'{"metadata":{"name":"a"}}',
        b'{ "metadata" : { "name" : "a" } }',
        b'{"spec":{"containers":[],"metadata":{"x":"y"}},"metadata":{"name":"a"}}',
        b'{"metadata":{"name":"a","resourceVersion":"3"}}',
        b'{"spec":{"containers":[]}}',
    ],
)
def test_a_value_that_another_tool_wrote_gets_its_revision_too(value: bytes) -> None:
    made = from_value("k", value, 7, core_v1.Pod)
    assert made.object.metadata.resource_version == "7"
    assert msgspec.json.decode(made.data)["metadata"]["resourceVersion"] == "7"
    assert made.data.count(b"resourceVersion") == 1


def test_a_value_that_is_no_object_of_the_type_is_refused() -> None:
    with pytest.raises(errors.BadRequest):
        from_value("k", b'{"metadata":{"name":7}}', 1, core_v1.Pod)


def test_what_is_derived_from_an_event_stays_with_it() -> None:
    event = Event("k", 5, stored("a", 3), stored("a", 5), 0.0)
    event.memo["table"] = b"row"
    assert event.memo == {"table": b"row"}


def test_a_modification_can_be_shown_as_any_kind() -> None:
    old, new = stored("a", 3, app="old"), stored("a", 5, app="new")
    event = Event("k", 5, old, new, 0.0)
    assert event.carried("ADDED") is event.carried("MODIFIED") is new
    left = event.carried("DELETED")
    assert left.object.metadata.labels == {"app": "old"}
    assert left.object.metadata.resource_version == "5"
    assert codec.decode(left.data, core_v1.Pod) == left.object
    assert old.object.metadata.resource_version == "3"


def test_the_kind_of_an_event_follows_from_what_was_and_is() -> None:
    one = stored("a", 3)
    assert Event("k", 3, None, one, 0.0).type == "ADDED"
    assert Event("k", 5, one, None, 0.0).type == "DELETED"


def test_a_shed_object_is_the_same_when_asked_for_again() -> None:
    one = stored("a", 3, app="x")
    before = one.object
    one.shed()
    assert one.object == before
    assert one.object is one.object
