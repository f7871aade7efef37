"""Option values are parsed and formatted as in Go."""

from ipaddress import ip_address, ip_network

import pytest

from component_base import values
from component_base.values import HostPort, PortRange


@pytest.mark.parametrize(
    ("text", "seconds", "printed"),
    [
        ("10s", 10, "10s"),
        ("1m30s", 90, "1m30s"),
        ("90s", 90, "1m30s"),
        ("300ms", 0.3, "300ms"),
        ("1.5s", 1.5, "1.5s"),
        ("2h", 7200, "2h0m0s"),
        ("1h0m1s", 3601, "1h0m1s"),
        ("0", 0, "0s"),
        ("-5s", -5, "-5s"),
        ("10us", 1e-5, "10µs"),
    ],
)
def test_durations_are_read_and_printed_as_in_go(text: str, seconds: float, printed: str) -> None:
    assert values.parse_duration(text) == pytest.approx(seconds)
    assert values.format_duration(seconds) == printed


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "1m 30s", "abc", "1d", "10sx"])
def test_invalid_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        values.parse_duration(text)


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (int, "-3", -3),
        (float, "0.5", 0.5),
        (bool, "T", True),
        (bool, "false", False),
        (values.IPAddress, "10.0.0.1", ip_address("10.0.0.1")),
        (values.IPAddress | None, "::1", ip_address("::1")),
        (values.IPNetwork, "10.0.0.0/16", ip_network("10.0.0.0/16")),
        (HostPort, "127.0.0.1:8080", HostPort("127.0.0.1", 8080)),
        (HostPort, "[::1]:80", HostPort("::1", 80)),
        (HostPort, ":80", HostPort("", 80)),
        (PortRange, "30000-32767", PortRange(30000, 32767)),
        (tuple[str, ...], "a, b,,c", ("a", "b", "c")),
        (tuple[values.IPAddress, ...], "10.0.0.1,::1", (ip_address("10.0.0.1"), ip_address("::1"))),
        (dict[str, str], "a=b,c=d=e", {"a": "b", "c": "d=e"}),
    ],
)
def test_a_value_is_read_as_its_field_is_typed(hint: object, text: str, value: object) -> None:
    assert values.value_type(hint).parse(text) == value


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "1.5"),
        (bool, "yes"),
        (values.IPAddress, "10.0.0"),
        (values.IPNetwork, "10.0.0.1"),
        (values.IPNetwork, "10.0.0.1/16"),
        (HostPort, "localhost"),
        (HostPort, "::1:80"),
        (HostPort, "a:70000"),
        (PortRange, "5-2"),
        (PortRange, "5"),
        (dict[str, str], "a"),
    ],
)
def test_a_value_of_the_wrong_form_is_refused(hint: object, text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        values.value_type(hint).parse(text)


def test_a_value_prints_as_it_is_written() -> None:
    for hint, text in [(HostPort, "[::1]:80"), (PortRange, "1-2"), (tuple[str, ...], "a,b"), (dict[str, str], "a=b")]:
        kind = values.value_type(hint)
        assert kind.format(kind.parse(text)) == text
