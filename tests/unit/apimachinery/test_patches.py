"""The three patch dialects on builtins. Strategic merge against kubectl itself is an integration test."""

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import patch
from apimachinery.errors import ApiError, BadRequest, Invalid, RequestEntityTooLarge, UnsupportedMediaType
from tests.unit.apimachinery.examples import POD, pod

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=12,
)
_OBJECT = st.dictionaries(st.text("ab", max_size=2), _JSON, max_size=4)


def apply(dialect: patch.Dialect, current: Any, change: Any, definition: str | None = POD) -> Any:
    return patch.apply(dialect, current, json.dumps(change).encode(), definition)


@pytest.mark.parametrize(
    ("current", "change", "expected"),
    [
        # the examples of RFC 7386, appendix A, that are objects
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_follows_the_rfc(current: Any, change: Any, expected: Any) -> None:
    assert apply("merge", current, change) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ([{"op": "add", "path": "/l/-", "value": 3}], {"l": [1, 2, 3], "m": {"k": 1}}),
        ([{"op": "remove", "path": "/m/k"}], {"l": [1, 2], "m": {}}),
        ([{"op": "replace", "path": "/l/0", "value": None}], {"l": [None, 2], "m": {"k": 1}}),
        ([{"op": "move", "from": "/m", "path": "/n"}], {"l": [1, 2], "n": {"k": 1}}),
        ([{"op": "copy", "from": "/m", "path": "/n"}], {"l": [1, 2], "m": {"k": 1}, "n": {"k": 1}}),
        ([{"op": "test", "path": "/none", "value": None}], {"l": [1, 2], "m": {"k": 1}}),
        ([{"op": "test", "path": "/m/none"}], {"l": [1, 2], "m": {"k": 1}}),
        ([{"op": "test", "path": "/l/1", "value": 2}], {"l": [1, 2], "m": {"k": 1}}),
        ([{"op": "add", "path": "/a~1b~0c", "value": 1}], {"l": [1, 2], "m": {"k": 1}, "a/b~c": 1}),
    ],
)
def test_a_json_patch_does_its_operations(change: Any, expected: Any) -> None:
    assert apply("json", {"l": [1, 2], "m": {"k": 1}}, change) == expected


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({}, BadRequest),
        ("x", BadRequest),
        ([1], BadRequest),
        ([{"op": "explode", "path": "/a"}], BadRequest),
        ([{"op": ["add"], "path": "/a"}], BadRequest),
        ([{"op": "add"}], BadRequest),
        ([{"op": "add", "path": "/a"}], BadRequest),
        ([{"op": "add", "path": "a", "value": 1}], BadRequest),
        ([{"op": "copy", "path": "/a"}], BadRequest),
        ([{"op": "copy", "from": 5, "path": "/a"}], BadRequest),
        ([{"op": "replace", "path": "", "value": 1}], BadRequest),
        ([{"op": "test", "path": "/l/1", "value": 9}], Invalid),
        ([{"op": "test", "path": "/flag", "value": 1}], Invalid),
        ([{"op": "test", "path": "/none", "value": 1}], Invalid),
        ([{"op": "test", "path": "/no/where", "value": None}], Invalid),
        ([{"op": "remove", "path": "/nothing"}], Invalid),
        ([{"op": "add", "path": "/l/9", "value": 1}], Invalid),
        ([{"op": "add", "path": "/no/where", "value": 1}], Invalid),
        ([{"op": "add", "path": "/l/x", "value": 1}], Invalid),
        ([{"op": "remove", "path": "/flag/deep"}], Invalid),
        ([{"op": "copy", "from": "/nothing", "path": "/a"}], Invalid),
        ([{"op": "test", "path": "/l", "value": 1}] * 10_001, RequestEntityTooLarge),
        ([{"op": "copy", "from": "/l", "path": "/l/-"}] * 40, RequestEntityTooLarge),
        ([{"op": "copy", "from": "", "path": "/l/-"}] * 14, RequestEntityTooLarge),  # half a MB of a small document
        ([{"op": "test", "path": "/a" * 2049, "value": 1}], BadRequest),
        ([{"op": "copy", "from": "/a" * 2049, "path": "/n"}], BadRequest),
    ],
)
def test_a_json_patch_that_cannot_be_applied_is_refused(change: Any, error: type[ApiError]) -> None:
    with pytest.raises(error):
        apply("json", {"l": [1, 2], "flag": True}, change)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/data/key", "value": "x"},
        {"op": "test", "path": "/data/key/deep", "value": "x"},
        {"op": "remove", "path": "/data/key/deep"},
        {"op": "replace", "path": "/data/none", "value": "x"},
        {"op": "move", "from": "/data/key/deep", "path": "/a"},
        {"op": "add", "path": "/data/key/deep", "value": "x"},
    ],
)
def test_what_a_document_holds_is_not_in_the_error_of_a_json_patch(operation: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refusal:
        apply("json", {"data": {"key": "aHVzaA=="}}, [operation])
    assert "aHVzaA" not in str(refusal.value)
    assert operation["path"] in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ([], BadRequest, "a merge patch is a JSON object"),
        ({"spec": {"containers": [{"image": "x"}]}}, Invalid, "does not contain declared merge key: name"),
        ({"spec": {"containers": [5]}}, Invalid, "not identical"),
        ({"spec": {"containers": [[]]}}, Invalid, "lists of lists"),
        ({"spec": {"$patch": "explode"}}, Invalid, "Unknown patch type: explode"),
        ({"spec": {"$retainKeys": "x"}}, BadRequest, "retainKeys"),
        ({"spec": {"$retainKeys": [{}, "a"], "b": 1}}, BadRequest, "retainKeys"),
        ({"spec": {"$setElementOrder/containers": "x"}}, BadRequest, "setElementOrder"),
        ({"spec": {"$setElementOrder/containers": ["x"]}}, Invalid, "merge key"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": "x"}}, BadRequest, "primitive list"),
    ],
)
def test_a_strategic_patch_that_cannot_be_applied_is_refused(change: Any, error: type[ApiError], message: str) -> None:
    with pytest.raises(error, match=message):
        apply("strategic", pod(), change)


def test_strategic_merge_keeps_the_other_elements_of_a_list() -> None:
    patched = apply("strategic", pod(), {"spec": {"containers": [{"name": "sidecar", "image": "new"}]}})
    assert [(container["name"], container["image"]) for container in patched["spec"]["containers"]] == [
        ("web", "docker.io/library/nginx:1.27"),
        ("sidecar", "new"),
    ]


def test_long_lists_merge_in_time() -> None:
    current = pod()
    current["metadata"]["finalizers"] = [f"example.com/{n}" for n in range(20_000)]
    patched = apply("strategic", current, {"metadata": {"finalizers": [f"example.org/{n}" for n in range(20_000)]}})
    assert len(patched["metadata"]["finalizers"]) == 40_000


@pytest.mark.parametrize("dialect", ["merge", "strategic", "json"])
def test_deep_nesting_is_survived(dialect: patch.Dialect) -> None:
    deep = '{"a":' * 900 + "1" + "}" * 900
    body = f'[{{"op": "add", "path": "/x", "value": {deep}}}]' if dialect == "json" else deep
    with contextlib.suppress(BadRequest, Invalid):
        patch.apply(dialect, {"x": 1, "a": {}}, body.encode(), POD)


def test_strategic_merge_needs_a_definition() -> None:
    with pytest.raises(UnsupportedMediaType):
        apply("strategic", {}, {}, definition=None)


def test_a_body_that_is_not_json_is_a_bad_request() -> None:
    for body in (b"", b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(BadRequest):
            patch.apply("merge", {}, body, None)


@given(_OBJECT, _OBJECT)
def test_merging_twice_changes_nothing_more(current: dict[str, Any], change: dict[str, Any]) -> None:
    once = apply("merge", current, change)
    assert apply("merge", once, change) == once


@given(_OBJECT)
def test_strategic_patches_never_change_their_input_nor_fail_otherwise(change: dict[str, Any]) -> None:
    current = pod()
    before = copy.deepcopy(current)
    for document in (change, {"metadata": change}, {"spec": {"containers": [change, {"name": "web", **change}]}}):
        with contextlib.suppress(BadRequest, Invalid):
            apply("strategic", current, document)
        assert current == before


_OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "test", "move", "copy"])},
    optional={
        "path": st.sampled_from(["", "/spec", "/spec/containers/0", "/spec/containers/-", "/x/y", "bad"]),
        "from": st.sampled_from(["", "/metadata", "/spec/containers", "/x"]),
        "value": _JSON,
    },
)


@given(st.lists(_OPERATIONS, max_size=4))
def test_json_patches_never_change_their_input_nor_fail_otherwise(change: list[dict[str, Any]]) -> None:
    current = pod()
    with contextlib.suppress(BadRequest, Invalid, RequestEntityTooLarge):
        apply("json", current, change)
    assert current == pod()
