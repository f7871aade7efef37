"""YAML reads as Kubernetes reads it, and cannot be used against the reader."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import yaml_loader
from apimachinery.errors import BadRequest
from tests.unit.apimachinery.examples import pod


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("2001-12-14T21:59:43Z", "2001-12-14T21:59:43Z"),
        ("yes", "yes"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("0644", 420),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b101", 5),
        ("-0o17", -15),
        ("089", 89),
        ("+3", 3),
        ("-5", -5),
        ("1e3", 1000),
        ("1.50", 1.5),
        (".5", 0.5),
        ("1_000", "1_000"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("!!int '7'", 7),
        ("!!binary aGk=", "hi"),
        ("18446744073709551615", 2**64 - 1),
        ("99999999999999999999", 1e20),
        ("1.2.3", "1.2.3"),
        ("+", "+"),
        ("100m", "100m"),
    ],
)
def test_plain_scalars(text: str, value: Any) -> None:
    read = yaml_loader.load(f"a: {text}".encode())[0]
    assert read == {"a": value}
    assert type(read["a"]) is type(value)


def test_keys_become_strings() -> None:
    assert yaml_loader.load(b"{1: a, true: b, 1.5: c, '2': d}")[0] == {"1": "a", "true": "b", "1.5": "c", "2": "d"}


def test_anchors_aliases_and_merge_keys() -> None:
    text = b"""
    base: &base {a: 1, b: 2}
    other: &other {b: 3, c: 4}
    one: {<<: *base, b: 9}
    two: {<<: [*base, *other], d: 5}
    list: [*base, *base]
    quoted: {"<<": 1}
    """
    value, duplicates = yaml_loader.load(text)
    assert value["one"] == {"a": 1, "b": 9}
    assert value["two"] == {"a": 1, "b": 2, "c": 4, "d": 5}
    assert value["list"] == [{"a": 1, "b": 2}] * 2
    assert value["quoted"] == {"<<": 1}
    assert duplicates == []


def test_duplicates_are_reported_with_their_line() -> None:
    value, duplicates = yaml_loader.load(b"a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert value == {"a": 3, "b": {"c": 2}}
    assert duplicates == ['line 4: key "c" already set in map', 'line 5: key "a" already set in map']


def test_several_documents_are_read_only_when_asked_for() -> None:
    text = b"---\na: 1\n---\n# nothing\n---\nb: 2\n"
    assert [value for value, _ in yaml_loader.load_all(text)] == [{"a": 1}, {"b": 2}]
    with pytest.raises(BadRequest, match="expected one YAML document, found 2"):
        yaml_loader.load(text)
    assert yaml_loader.load(b"---\na: 1\n---\n")[0] == {"a": 1}
    assert yaml_loader.load(b"") == (None, [])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"a: [", "expected node content"),
        (b"a: b: c", "mapping values are not allowed"),
        (b"a:\n\t- b", "cannot start any token"),
        (b"a: *nowhere", "unknown anchor 'nowhere'"),
        (b"a: &x [*x]", "contains itself"),
        (b"<<: 5", "map merge requires map"),
        (b"? [a]\n: 1", "a key must be"),
        (b"~: 1", "a key must be"),
        (b"a: .inf", "no JSON form"),
        (b"a: .NaN", "no JSON form"),
        (b"a: 1e999", "no JSON form"),
        (b"a: !!int x", "cannot decode"),
        (b"a: !!binary /w==", "binary"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"a: \x01", "not valid YAML"),
    ],
)
def test_what_cannot_be_read_is_a_bad_request(body: bytes, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        yaml_loader.load(body)


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]" for n in range(9)]
    with pytest.raises(BadRequest, match="excessive aliasing"):
        yaml_loader.load("\n".join(lines).encode())


@pytest.mark.parametrize("opening", [b"[", b"{a: ", b"- ", b"? "])
def test_deep_nesting_is_refused_and_harmless(opening: bytes) -> None:
    """Composing nodes recurses in C and would end the process here."""
    with pytest.raises(BadRequest, match="nested more than 200 deep"):
        yaml_loader.load(opening * 200_000)


def test_json_is_yaml() -> None:
    assert yaml_loader.load(json.dumps(pod()).encode())[0] == pod()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=5), _JSON, min_size=1, max_size=4))
def test_what_is_dumped_is_read_back(value: dict[str, Any]) -> None:
    assert yaml_loader.load(yaml.safe_dump(value, default_style='"').encode()) == (value, [])
