"""When a run's outcome is a measurement, and when it is none."""

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.load import Outcome
from benchmarks.services import peers


def outcome(requests: int, refused: int = 0, broken: int = 0) -> Outcome:
    return Outcome(requests, 2.0, 1000, refused, broken, 1.0, 2.0)


def test_a_rate_is_requests_a_second() -> None:
    assert outcome(5000).rate == 2500


@pytest.mark.parametrize("good", [outcome(1), outcome(1000, refused=1), outcome(2000, broken=2)])
def test_a_stray_failure_is_tolerated(good: Outcome) -> None:
    good.check()


@pytest.mark.parametrize("bad", [outcome(0), outcome(1000, refused=2), outcome(1000, broken=500)])
def test_failed_requests_are_no_speed(bad: Outcome) -> None:
    with pytest.raises(BenchmarkError, match="requests failed"):
        bad.check()


def test_services_elsewhere_are_asked_from_where_one_says() -> None:
    here, there = peers(["10.2.2.2:80"], "")[0], peers(["[::1]:8080", "a:1"], "some-netns")
    assert (here.subject, here.host, here.port, list(here.prefix)) == ("peer", "10.2.2.2", 80, [])
    assert [target.subject for target in there] == ["peer", "peer a:1"]
    assert "--net=/run/netns/some-netns" in there[0].prefix


@pytest.mark.parametrize("text", ["10.2.2.2", ":80", "host:http"])
def test_an_address_without_a_port_is_refused(text: str) -> None:
    with pytest.raises(BenchmarkError, match="not HOST:PORT"):
        peers([text], "")
