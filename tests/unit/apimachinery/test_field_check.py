"""Unknown and duplicate fields are found, worded as Kubernetes words them, and only where there are any."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apimachinery import field_check
from apimachinery.errors import BadRequest
from tests.unit.apimachinery.examples import POD, documents, kinds, pod


@pytest.mark.parametrize(
    ("document", "problems"),
    [
        ('{"spec": {"foo": 1}}', ['unknown field "spec.foo"']),
        ('{"spec": {"replicas": {"deep": 1}}}', ['unknown field "spec.replicas"']),
        ('{"nonsense": 1}', ['unknown field "nonsense"']),
        ('{"spec": {"containers": [{}, {"x": 1}]}}', ['unknown field "spec.containers[1].x"']),
        ('{"spec": {"hostname": "a", "hostname": "b"}}', ['duplicate field "spec.hostname"']),
        ('{"spec": {"a": 1, "a": 2}}', ['unknown field "spec.a"']),
        ('{"metadata": {"labels": {"a": "1", "a": "2"}}}', ['duplicate field "metadata.labels.a"']),
        (
            '{"x": 1, "kind": "Pod", "spec": {"y": 1, "containers": [{"name": "a", "z": 1, "name": "b"}]},'
            ' "kind": "P"}',
            [
                'unknown field "x"',
                'unknown field "spec.y"',
                'unknown field "spec.containers[0].z"',
                'duplicate field "spec.containers[0].name"',
                'duplicate field "kind"',
            ],
        ),
        ('{"metadata": {"labels": {"any": "thing"}, "annotations": {"a.b/c": "d"}}}', []),
        ('{"metadata": {"managedFields": [{"fieldsV1": {"f:anything": {}}}]}}', []),
        ('{"metadata": null, "spec": {"containers": null}}', []),
        ("[]", []),
        ('"text"', []),
    ],
)
def test_messages(document: str, problems: list[str]) -> None:
    assert field_check.unknown_and_duplicate(document.encode(), POD) == problems


def test_a_usual_pod_has_nothing_to_report() -> None:
    assert field_check.unknown_and_duplicate(json.dumps(pod()).encode(), POD) == []


def test_the_strict_error_names_all() -> None:
    error = field_check.strict_error(['unknown field "spec.foo"', 'duplicate field "kind"'])
    assert error.code == 400
    assert error.message == 'strict decoding error: unknown field "spec.foo", duplicate field "kind"'


def test_a_hostile_document_gets_a_short_answer() -> None:
    many = json.dumps({f"x{n}": n for n in range(5000)}).encode()
    assert len(field_check.unknown_and_duplicate(many, POD)) == 100


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"NaN garbage"])
def test_what_is_not_json_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest):
        field_check.unknown_and_duplicate(body, POD)


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)
@given(st.data())
def test_documents_of_a_definition_have_nothing_to_report_until_a_field_is_added(data: st.DataObject) -> None:
    definition, _, _ = data.draw(st.sampled_from(kinds()))
    document: dict[str, Any] = data.draw(documents(definition))
    assert field_check.unknown(document, definition) == []
    document["addedField"] = 1
    assert field_check.unknown(document, definition) == ['unknown field "addedField"']
