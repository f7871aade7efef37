"""Objects to JSON and back: nothing is lost, nulls mean what they mean in Go, faults name the field."""

import importlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apimachinery import codec, meta
from apimachinery.errors import BadRequest
from apimachinery.nulls import without_nulls
from apimachinery.schema.generate import module_of
from apimachinery.types import core_v1, meta_v1
from tests.unit.apimachinery.examples import documents, kinds, pod, service


def struct_of(definition: str) -> type[Any]:
    module = importlib.import_module(f"apimachinery.types.{module_of(definition)}")
    struct: type[Any] = getattr(module, definition.rpartition(".")[2])
    return struct


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Where ``after`` differs from or lacks what ``before`` has; it may have more (what Go always writes)."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            place
            for key, value in before.items()
            for place in (lost(value, after[key], f"{path}.{key}") if key in after else [f"{path}.{key}"])
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [place for i, element in enumerate(before) for place in lost(element, after[i], f"{path}[{i}]")]
    return [] if before == after else [path]


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("row", kinds(), ids=lambda row: row[0].removeprefix("io.k8s."))
@given(data=st.data())
def test_documents_of_every_kind_survive(row: tuple[str, str, str], data: st.DataObject) -> None:
    definition, _, _ = row
    document = data.draw(documents(definition))
    decoded = codec.from_builtins(document, struct_of(definition))
    assert lost(document, codec.to_builtins(decoded)) == []
    assert codec.decode(codec.encode(decoded), type(decoded)) == decoded


def test_what_people_write_survives_unchanged() -> None:
    for document, cls in ((pod(), core_v1.Pod), (service(), core_v1.Service)):
        assert lost(document, codec.to_builtins(codec.from_builtins(document, cls))) == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"metadata": {"creationTimestamp": null, "labels": {"a": null}}}', {"labels": {"a": ""}}),
        ('{"metadata": null}', {}),
        ('{"metadata": {"finalizers": [null]}}', {"finalizers": [""]}),
        (
            '{"metadata": {"ownerReferences": [null]}}',
            {"ownerReferences": [{"apiVersion": "", "kind": "", "name": "", "uid": ""}]},
        ),
        ('{"metadata": {"name": null}, "spec": {"containers": null}}', {}),
    ],
)  # fmt: skip
def test_null_is_absent_in_a_struct_and_zero_in_a_list_or_map(body: str, expected: Any) -> None:
    decoded = codec.decode(body.encode(), core_v1.Pod)
    assert codec.to_builtins(decoded)["metadata"] == expected
    assert decoded.spec.containers == []


def test_untyped_parts_keep_their_nulls() -> None:
    assert without_nulls({"data": {"a": None}}, dict[str, Any]) == {"data": {"a": None}}


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ('{"spec": {"containers": {}}}', "spec.containers: must be an array, not an object"),
        (
            '{"spec": {"containers": [{"ports": [{"containerPort": "x"}]}]}}',
            r"spec.containers\[0\].ports\[0\].containerPort",
        ),
        ('{"spec": {"priority": 2147483648}}', "spec.priority"),
        ('{"metadata": {"labels": {"a": 1}}}', "metadata.labels"),
        ('{"metadata": {"name": null, "labels": {"a": 1}}}', "metadata.labels"),
        ('{"spec": {"hostNetwork": "true"}}', "spec.hostNetwork"),
        ("[]", "must be an object, not an array"),
        ('{"spec": {"hostname": 1}}', "spec.hostname: must be a string, not an integer"),
        ('{"metadata": {"creationTimestamp": "now"}}', "metadata.creationTimestamp: must be a time"),
        ('{"spec": {"containers": [{"resources": {"limits": {"cpu": []}}}]}}', "must be a number or a string, not"),
        ('{"a": nul}', "not valid JSON: unexpected character at byte"),
        ("{", "not valid JSON: it ends too early"),
        ("", "not valid JSON"),
        ('{"metadata": {"name": "\ud800"}}', "not valid JSON"),
        ('{"metadata":' + "[" * 100_000, "metadata"),
    ],
)  # fmt: skip
def test_faults_are_bad_requests_that_name_the_field(body: str, place: str) -> None:
    with pytest.raises(BadRequest, match=place):
        codec.decode(body.encode(errors="surrogatepass"), core_v1.Pod)


def test_a_body_that_breaks_off_after_a_fault_is_a_bad_request() -> None:
    """The fault is met first, and nulls are taken out before it is believed."""
    with pytest.raises(BadRequest, match="not valid JSON"):
        codec.decode(b'{"metadata": null, "spec": {"containers": 1}, "sta', core_v1.Pod)


def test_a_copy_shares_nothing() -> None:
    original = codec.from_builtins(pod(), core_v1.Pod)
    copied = codec.copy(original)
    assert copied == original
    copied.spec.containers[0].image = "other"
    assert original.metadata.labels is not None
    assert copied.metadata.labels is not None
    copied.metadata.labels["x"] = "y"
    assert original.spec.containers[0].image != "other"
    assert "x" not in original.metadata.labels


def test_managed_fields_stay_bytes_and_survive() -> None:
    body = '{"metadata":{"managedFields":[{"manager":"m","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{}}}]}}'
    decoded = codec.decode(body.encode(), core_v1.Pod)
    again = codec.decode(codec.encode(decoded), core_v1.Pod)
    assert json.loads(codec.encode(again))["metadata"]["managedFields"][0]["fieldsV1"] == {"f:spec": {}}


def test_identity_and_ownership() -> None:
    metadata = {"name": "rc", "namespace": "ns", "uid": "u"}
    owner = codec.from_builtins({"metadata": metadata}, core_v1.ReplicationController)
    reference = meta.owner_reference(owner)
    owned = core_v1.Pod(metadata=meta_v1.ObjectMeta(name="p", namespace="ns", owner_references=[reference]))
    assert (reference.api_version, reference.kind, reference.controller) == ("v1", "ReplicationController", True)
    assert meta.controller_of(owned) == reference
    assert meta.controller_of(owner) is None
    assert str(meta.key_of(owned)) == "ns/p"
    assert str(meta.key_of(core_v1.Node(metadata=meta_v1.ObjectMeta(name="n")))) == "n"


@given(st.datetimes())
def test_times_survive(moment: Any) -> None:
    aware = moment.replace(tzinfo=meta.UTC)
    assert meta.parse_time(meta.format_time(aware)) == aware.replace(microsecond=0)
    assert meta.parse_time(meta.format_micro_time(aware)) == aware


def test_times_with_a_zone_and_with_nanoseconds() -> None:
    assert meta.format_time(meta.parse_time("2026-01-02T03:04:05+02:00")) == "2026-01-02T01:04:05Z"
    assert meta.parse_time("2026-01-02T03:04:05.123456789Z").microsecond == 123456


@pytest.mark.parametrize(
    "text", ["", "now", "2026-01-02", "2026-01-02T03:04:05", "2026-13-02T03:04:05Z", "20260102T030405Z", "\u0662"]
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|month"):
        meta.parse_time(text)
