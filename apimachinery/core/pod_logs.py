"""What a request for a pod's log asks for: read from its query, and checked.

The apiserver checks it before it looks for the pod, the kubelet again. Rules and messages are those of Kubernetes'
``ValidatePodLogOptions`` (pkg/apis/core/validation).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from apimachinery import errors, meta
from apimachinery.fields import FieldError, Path
from apimachinery.query import boolean

PARAMETERS: Final = (
    "follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes",
)  # fmt: skip
_LONGEST_NUMBER: Final = 18
"""Digits that fit into 64 bits."""


@dataclass(frozen=True)
class PodLogOptions:
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since_seconds: int | None = None
    since_time: float | None = None
    """Seconds since the epoch."""


def log_options(query: Mapping[str, str], pod: str) -> PodLogOptions:
    """Those of a request for the log of the pod of that name.

    Raises:
        errors.BadRequest: a value is no number, or no time.
        errors.Invalid: a number is out of its range, or two options exclude each other.
    """
    options = PodLogOptions(
        follow=boolean(query.get("follow")),
        previous=boolean(query.get("previous")),
        timestamps=boolean(query.get("timestamps")),
        tail_lines=_number(query, "tailLines"),
        limit_bytes=_number(query, "limitBytes"),
        since_seconds=_number(query, "sinceSeconds"),
        since_time=_time(query, "sinceTime"),
    )
    if faults := list(_faults(options)):
        raise errors.invalid("PodLogOptions", "", pod, faults)
    return options


def _faults(options: PodLogOptions) -> Iterator[FieldError]:
    if options.tail_lines is not None and options.tail_lines < 0:
        yield Path("tailLines").invalid(options.tail_lines, "must be greater than or equal to 0")
    if options.limit_bytes is not None and options.limit_bytes < 1:
        yield Path("limitBytes").invalid(options.limit_bytes, "must be greater than 0")
    if options.since_seconds is not None and options.since_time is not None:
        yield Path("").forbidden("at most one of `sinceTime` or `sinceSeconds` may be specified")
    elif options.since_seconds is not None and options.since_seconds < 1:
        yield Path("sinceSeconds").invalid(options.since_seconds, "must be greater than 0")


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > _LONGEST_NUMBER:
        raise errors.BadRequest(f"{name}: {text[:64]!r} is not a number of at most {_LONGEST_NUMBER} digits")
    return int(text)


def _time(query: Mapping[str, str], name: str) -> float | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return meta.parse_time(text).timestamp()
    except (ValueError, OverflowError):
        raise errors.BadRequest(f"{name}: {text[:64]!r} is not a time such as 2026-01-31T12:00:00Z") from None
