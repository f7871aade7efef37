"""Selectors read and match as Kubernetes documents them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import selectors
from apimachinery.types.meta_v1 import LabelSelector, LabelSelectorRequirement

LABELS = {"environment": "production", "tier": "frontend", "partition": "", "example.com/n": "5"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("environment = production", True),
        ("environment==production,tier=frontend", True),
        ("environment=qa", False),
        ("tier != frontend", False),
        ("tier!=backend", True),
        ("missing != x", True),
        ("missing notin (x)", True),
        ("environment in (production, qa)", True),
        ("environment in (qa,dev)", False),
        ("tier notin (frontend, backend)", False),
        ("partition", True),
        ("partition=", True),
        ("!partition", False),
        ("!missing", True),
        ("missing", False),
        ("missing in (a,)", False),
        ("partition in (a,)", True),
        ("environment in (production),tier notin (backend),!missing", True),
        ("example.com/n > 4", True),
        ("example.com/n < 5", False),
        ("tier > 4", False),
    ],
)
def test_label_selectors(text: str, matches: bool) -> None:
    assert selectors.parse_labels(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    "text",
    [
        ",", "a,", "a,,b", "=x", "a=b=c", "a==b==c", "!a=b", "a in b", "a in (b", "a in b)", "a b", "x<a", "a>1.5",
        "-a=b", "a=-b", "a/b/c=d", "A/b/=c", "a=" + "x" * 64, "x" * 64, "a||b", "(a)", "a in ((b))", "a!b",
        "a in ()", "a notin ( )",
    ],
)  # fmt: skip
def test_malformed_label_selectors(text: str) -> None:
    with pytest.raises(ValueError, match="label selector"):
        selectors.parse_labels(text)


_NAME = st.from_regex(r"[a-zA-Z0-9](?:[-a-zA-Z0-9_.]{0,8}[a-zA-Z0-9])?", fullmatch=True)
_REQUIREMENT = st.one_of(
    st.builds(
        selectors.Requirement,
        _NAME,
        st.sampled_from(["In", "NotIn"]),
        st.frozensets(_NAME, min_size=1, max_size=3),
    ),
    st.builds(selectors.Requirement, _NAME, st.sampled_from(["Exists", "DoesNotExist"])),
    st.builds(
        selectors.Requirement,
        _NAME,
        st.sampled_from(["Gt", "Lt"]),
        st.integers(0, 99).map(lambda n: frozenset({str(n)})),
    ),
)


@given(st.lists(_REQUIREMENT, max_size=4), st.dictionaries(_NAME, _NAME))
def test_a_selector_means_the_same_after_it_was_written_out(
    requirements: list[selectors.Requirement], labels: dict[str, str]
) -> None:
    selector = selectors.LabelSelector(tuple(requirements))
    again = selectors.parse_labels(str(selector))
    assert again == selector
    assert again.matches(labels) is all(requirement.matches(labels) for requirement in requirements)


_KEYS, _VALUES = st.sampled_from(["a", "b", "example.com/c"]), st.sampled_from(["", "x", "y", "10", "9", "z.z"])
_WRITTEN = st.one_of(
    st.tuples(_KEYS, st.sampled_from(["=", "==", "!="]), st.tuples(_VALUES)),
    st.tuples(_KEYS, st.sampled_from(["in", "notin"]), st.lists(_VALUES, min_size=1, max_size=3).map(tuple)),
    st.tuples(_KEYS, st.sampled_from(["", "!"]), st.just(())),
    st.tuples(_KEYS, st.sampled_from(["<", ">"]), st.tuples(st.sampled_from(["9", "10"]))),
)


def _text(requirement: tuple[str, str, tuple[str, ...]]) -> str:
    key, sign, values = requirement
    match sign:
        case "" | "!":
            return f"{sign}{key}"
        case "in" | "notin":
            return f"{key} {sign} ({','.join(values) or ','})"  # the empty value alone needs a comma
    return f"{key} {sign} {values[0]}"


def _holds(requirement: tuple[str, str, tuple[str, ...]], labels: dict[str, str]) -> bool:
    """What Kubernetes' documentation says of each form, and nothing of how we do it."""
    key, sign, values = requirement
    if sign in ("!", "!=", "notin") and key not in labels:
        return True
    if sign == "!" or key not in labels:
        return False
    if sign in ("=", "==", "in", "!=", "notin"):
        return (labels[key] in values) == (sign in ("=", "==", "in"))
    if sign == "":
        return True
    try:
        return int(labels[key]) < int(values[0]) if sign == "<" else int(labels[key]) > int(values[0])
    except ValueError:
        return False


@given(st.lists(_WRITTEN, max_size=4), st.dictionaries(_KEYS, _VALUES))
def test_a_selector_selects_what_a_plain_reading_of_it_does(
    requirements: list[tuple[str, str, tuple[str, ...]]], labels: dict[str, str]
) -> None:
    selector = selectors.parse_labels(", ".join(map(_text, requirements)))
    assert selector.matches(labels) is all(_holds(requirement, labels) for requirement in requirements)


@given(st.text(alphabet="ab=!,()<> in/.-", max_size=20))
def test_any_text_is_a_selector_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        selectors.parse_labels(text).matches(LABELS)


def test_no_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert not selectors.from_map({}).matches({})
    assert not selectors.from_label_selector(None).matches({})
    assert selectors.from_label_selector(LabelSelector()).matches({"a": "b"})
    assert selectors.from_map({"a": "b"}).matches({"a": "b", "c": "d"})


def _expression(operator: str, *values: str) -> LabelSelector:
    return LabelSelector(
        match_expressions=[LabelSelectorRequirement(key="tier", operator=operator, values=list(values) or None)]
    )


def test_expressions_of_a_label_selector() -> None:
    assert selectors.from_label_selector(_expression("In", "frontend")).matches(LABELS)
    assert not selectors.from_label_selector(_expression("NotIn", "frontend")).matches(LABELS)
    assert selectors.from_label_selector(_expression("Exists")).matches(LABELS)
    assert not selectors.from_label_selector(_expression("DoesNotExist")).matches(LABELS)


@pytest.mark.parametrize("selector", [_expression("Gt", "5"), _expression("In"), _expression("Exists", "x")])
def test_expressions_that_make_no_sense(selector: LabelSelector) -> None:
    with pytest.raises(ValueError, match=r"operator|values"):
        selectors.from_label_selector(selector)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("spec.nodeName=n1", True),
        ("spec.nodeName==n1,status.phase!=Failed", True),
        ("spec.nodeName!=n1", False),
        ("spec.nodeName=", False),
        ("missing=", True),
        ("missing!=", False),
        (r"odd=a\,b\=c\\", True),
        (r"odd=a\,b\=c\\,spec.nodeName=n2", False),
        (",spec.nodeName=n1,", True),
    ],
)
def test_field_selectors(text: str, matches: bool) -> None:
    values = {"spec.nodeName": "n1", "status.phase": "Running", "odd": "a,b=c\\"}
    selector = selectors.parse_fields(text)
    assert selector.matches(values) is matches
    assert selector.matches_by(lambda name: values.get(name, "")) is matches


def test_the_value_that_a_field_must_have() -> None:
    selector = selectors.parse_fields("a=1,b!=2")
    assert (selector.exact("a"), selector.exact("b"), selector.exact("c")) == ("1", None, None)


@pytest.mark.parametrize("text", ["a", "=b", "a=b=c", "a in (b)", "a=b\\", r"a=\n", "!a"])
def test_malformed_field_selectors(text: str) -> None:
    with pytest.raises(ValueError, match="field selector"):
        selectors.parse_fields(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (",".join(f"k{i}!=v" for i in range(129)), "more than 128 requirements"),
        (f"a in ({','.join(str(i) for i in range(4096))})", "more than 4096 keys and values"),
        (f"a in ({','.join('v' * 60 for _ in range(1200))})", "more than 65536 characters"),
    ],
)
def test_a_label_selector_is_bounded(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        selectors.parse_labels(text)


def test_a_label_selector_of_a_thousand_values_is_none_too_many() -> None:
    selector = selectors.parse_labels(f"a in ({','.join(f'value-{i}' for i in range(1000))})")
    assert selector.matches({"a": "value-999"})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (",".join(f"metadata.name!=v{i}" for i in range(129)), "more than 128 requirements"),
        (f"metadata.name={'v' * 65536}", "more than 65536 characters"),
    ],
)
def test_a_field_selector_is_bounded(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        selectors.parse_fields(text)
