"""Protobuf bodies: every schema field has its place, and nothing is lost on the way there and back."""

import base64
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apimachinery.errors import BadRequest
from apimachinery.schema import protobuf
from apimachinery.schema.definitions import GVK, definitions
from apimachinery.schema.protobuf_messages import message_name, messages, overlay
from apimachinery.schema.shapes import Shape, shape_of
from tests.unit.apimachinery.examples import POD, documents, kinds, pod, service

_TYPE_META = {"kind", "apiVersion"}


def _is_supported(definition: str) -> bool:
    return not definition.startswith(tuple(overlay()["unsupported"]))


def _wire_fields(definition: str) -> list[str]:
    """The properties that a definition's message can hold, inlined ones included, with repetitions."""
    return _fields_of(message_name(definition), definition)


def _fields_of(message: str, definition: str) -> list[str]:
    data = overlay()
    fields: list[str] = []
    for field, kind, *_ in messages()[message].values():
        if field in data["inline"].get(definition, ()):
            fields += _fields_of(kind, kind.replace("k8s.io.", "io.k8s.", 1))
        elif field not in data["drop"].get(definition, ()):
            fields.append(data["rename"].get(definition, {}).get(field, field))
    return fields


_STRUCTS = sorted(
    name for name, definition in definitions().items() if "properties" in definition and _is_supported(name)
)


@pytest.mark.parametrize("definition", _STRUCTS)
def test_every_schema_field_has_exactly_one_protobuf_field(definition: str) -> None:
    schema = definitions()[definition]
    properties = set(schema["properties"]) - (_TYPE_META if GVK in schema else set())
    properties -= set(overlay()["absent"].get(definition, ()))
    assert sorted(_wire_fields(definition)) == sorted(properties)


def test_every_kind_has_a_message_but_the_listed_ones() -> None:
    without = {name for name, _, _ in kinds() if not protobuf.has_message(name)}
    assert all(not _is_supported(name) for name in without)


def test_the_overlay_names_only_fields_that_exist() -> None:
    data = overlay()
    for definition, fields in data["optional"].items():
        assert set(fields) <= set(definitions()[definition]["properties"]), definition
    for part in ("drop", "inline", "rename"):
        for definition, fields in data[part].items():
            names = {field for field, *_ in messages()[message_name(definition)].values()}
            assert set(fields) <= names, definition
    for definition, fields in data["absent"].items():
        assert not set(fields) & set(_wire_fields(definition)), definition


_KINDS = [row for row in kinds() if protobuf.has_message(row[0])]


def _leafless(value: Any) -> Any:
    """Without what protobuf cannot tell from absence: empty lists and maps of scalars, empty strings."""
    if isinstance(value, dict):
        cleaned = {key: _leafless(member) for key, member in value.items()}
        return {key: member for key, member in cleaned.items() if member not in (None, [], {}, "")}
    return [_leafless(element) for element in value] if isinstance(value, list) else value


def _tellable(value: Any, shape: Shape) -> Any:
    """Without the properties that no message has."""
    if isinstance(value, dict):
        absent = overlay()["absent"].get(shape.name, ())
        return {key: _tellable(member, shape.child(key)) for key, member in value.items() if key not in absent}
    return [_tellable(element, shape.element) for element in value] if isinstance(value, list) else value


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize(("definition", "api_version", "kind"), _KINDS, ids=[f"{v}.{k}" for _, v, k in _KINDS])
@given(data=st.data())
def test_objects_of_every_kind_survive(definition: str, api_version: str, kind: str, data: st.DataObject) -> None:
    document = {"kind": kind, "apiVersion": api_version, **data.draw(documents(definition))}
    body = protobuf.encode(document, definition, api_version, kind)
    version_again, kind_again, again = protobuf.decode(body)
    assert (version_again, kind_again) == (api_version, kind)
    assert _leafless(again) == _leafless(_tellable(document, shape_of(definition)))


def test_what_people_write_survives_whole() -> None:
    for document, definition in ((pod(), POD), (service(), "io.k8s.api.core.v1.Service")):
        kind = document["kind"]
        assert protobuf.decode(protobuf.encode(document, definition, "v1", kind))[2] == document


def test_zeros_that_go_writes_for_absent_fields_are_absent() -> None:
    """kubectl writes hostNetwork false and nodeName empty; but replicas 0 and runAsUser 0 are meant."""
    document = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "a", "namespace": "", "generation": 0},
        "spec": {
            "nodeName": "",
            "hostNetwork": False,
            "automountServiceAccountToken": False,
            "containers": [{"name": "", "image": "", "securityContext": {"runAsUser": 0, "privileged": False}}],
        },
    }
    assert protobuf.decode(protobuf.encode(document, POD, "v1", "Pod"))[2] == {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "a"},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "", "securityContext": {"runAsUser": 0, "privileged": False}}],
        },
    }


# What kubectl 1.32 sent for ``create namespace x``, ``create secret generic s --from-literal=a=b`` and
# ``create deployment d --image=nginx --replicas=3``, captured on a loopback port.
_NAMESPACE = "azhzAAoPCgJ2MRIJTmFtZXNwYWNlEhkKEQoBeBIAGgAiACoAMgA4AEIAEgAaAgoAGgAiAA=="
_SECRET = "azhzAAoMCgJ2MRIGU2VjcmV0Eh0KEQoBcxIAGgAiACoAMgA4AEIAEgYKAWESAWIaABoAIgA="
_DEPLOYMENT = (
    "azhzAAoVCgdhcHBzL3YxEgpEZXBsb3ltZW50EqMBChsKAWQSABoAIgAqADIAOABCAFoICgNhcHASAWQSdggDEgoKCAoDYXBwEgFkGl4KGgoA"
    "EgAaACIAKgAyADgAQgBaCAoDYXBwEgFkEkASIgoFbmdpbngSBW5naW54KgBCAGoAcgCAAQCIAQCQAQCiAQAaADIAQgBKAFIAWABgAGgAggEA"
    "igEAmgEAwgEAIgIKACgAOAAaDAgAEAAYACAAKAA4ABoAIgA="
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            _NAMESPACE,
            {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "x"}, "spec": {}, "status": {}},
        ),
        (_SECRET, {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {"a": "Yg=="}}),
        (
            _DEPLOYMENT,
            {
                "kind": "Deployment",
                "apiVersion": "apps/v1",
                "metadata": {"name": "d", "labels": {"app": "d"}},
                "spec": {
                    "replicas": 3,
                    "selector": {"matchLabels": {"app": "d"}},
                    "template": {
                        "metadata": {"labels": {"app": "d"}},
                        "spec": {"containers": [{"name": "nginx", "image": "nginx", "resources": {}}]},
                    },
                    "strategy": {},
                },
                "status": {},
            },
        ),
    ],
    ids=["namespace", "secret", "deployment"],
)
def test_bodies_of_kubectl_are_read(body: str, expected: dict[str, Any]) -> None:
    version, kind, document = protobuf.decode(base64.b64decode(body))
    assert (version, kind) == (expected["apiVersion"], expected["kind"])
    assert document == expected


def test_delete_options_are_read_in_every_group() -> None:
    definition = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
    options = {"gracePeriodSeconds": 0, "propagationPolicy": "Background", "preconditions": {"uid": "u"}}
    body = protobuf.encode(options, definition, "batch/v2alpha1", "DeleteOptions")
    assert protobuf.decode(body)[2] == {"kind": "DeleteOptions", "apiVersion": "batch/v2alpha1", **options}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        protobuf.MAGIC + b"\xff\xff",
        protobuf.encode({}, POD, "v1", "Nonsense"),
        protobuf.encode({}, POD, "apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        protobuf.MAGIC + b"\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x02\xff\xff",
    ],
)
def test_other_bodies_are_bad_requests(body: bytes) -> None:
    with pytest.raises(BadRequest):
        protobuf.decode(body)


@pytest.mark.parametrize(
    "document",
    [
        {"spec": {"hostNetwork": "yes"}},
        {"spec": {"containers": {}, "priority": "x"}},
        {"metadata": {"creationTimestamp": "now"}},
        {"spec": 5},
    ],
)
def test_what_does_not_fit_is_not_encoded(document: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        protobuf.encode(document, POD, "v1", "Pod")
