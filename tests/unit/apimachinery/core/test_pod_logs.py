"""What a request for a log may ask for."""

import pytest

from apimachinery import errors
from apimachinery.core.pod_logs import PodLogOptions, log_options


def test_options_are_read_from_a_query() -> None:
    query = {
        "follow": "true",
        "tailLines": "0",
        "limitBytes": "1",
        "sinceTime": "1970-01-01T00:00:10Z",
        "previous": "0",
    }
    assert log_options(query, "p") == PodLogOptions(follow=True, tail_lines=0, limit_bytes=1, since_time=10.0)
    assert log_options({"tailLines": "", "sinceTime": ""}, "p") == PodLogOptions()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"tailLines": "-1"}, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ({"sinceSeconds": "0"}, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ({"limitBytes": "0"}, "limitBytes: Invalid value: 0: must be greater than 0"),
        (
            {"sinceSeconds": "1", "sinceTime": "2026-01-01T00:00:00Z"},
            "<nil>: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
    ],
)
def test_options_out_of_range_are_invalid(query: dict[str, str], message: str) -> None:
    with pytest.raises(errors.Invalid) as refused:
        log_options(query, "p")
    assert refused.value.message == f'PodLogOptions "p" is invalid: {message}'
    assert refused.value.details is not None
    assert (refused.value.details.kind, refused.value.details.name) == ("PodLogOptions", "p")


@pytest.mark.parametrize(
    "query",
    [
        {"tailLines": "many"}, {"tailLines": "--1"}, {"limitBytes": "1.5"}, {"sinceSeconds": "9" * 19},
        {"sinceTime": "yesterday"}, {"sinceTime": "9" * 5000}, {"tailLines": "²"}, {"limitBytes": "٣"},
    ],
)  # fmt: skip
def test_what_is_no_number_or_time_is_a_bad_request(query: dict[str, str]) -> None:
    with pytest.raises(errors.BadRequest) as refused:
        log_options(query, "p")
    assert refused.value.message.startswith(f"{next(iter(query))}: ")
    assert len(refused.value.message) < 200
