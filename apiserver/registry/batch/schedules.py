"""What a cron job's schedule may look like: five fields, or a word such as ``@daily``."""

import re
from typing import Final

_WORDS: Final = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_MONTHS: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS: Final = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_EVERY: Final = re.compile(r"@every (\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+\Z")
_FIELDS: Final[tuple[tuple[str, int, int, list[str]], ...]] = (
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of month", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)


def fault(schedule: str) -> str | None:
    """What is wrong with a schedule, if something is."""
    text = schedule
    if text.startswith(("TZ=", "CRON_TZ=")):
        text = text.partition(" ")[2].strip()
    if not text:
        return "empty spec string"
    if text.startswith("@"):
        return None if text in _WORDS or _EVERY.match(text) else f"unrecognized descriptor: {text}"
    parts = text.split()
    if len(parts) != len(_FIELDS):
        return f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]"
    return next((why for part, field in zip(parts, _FIELDS, strict=True) if (why := _field(part, *field))), None)


def _field(text: str, what: str, first: int, last: int, words: list[str]) -> str | None:
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if slash and (not step.isascii() or not step.isdecimal() or int(step) == 0):
            return f"step of {what} must be a positive number: {part}"
        if span in ("*", "?"):
            continue
        ends = [_number(end, first, words) for end in span.split("-")]
        if len(ends) > 2 or None in ends:
            return f"failed to parse {what}: {part}"
        low, high = ends[0], ends[-1]
        assert low is not None
        assert high is not None
        if low < first or high > last:
            return f"{what} must be between {first} and {last}: {part}"
        if low > high:
            return f"beginning of range ({low}) beyond end of range ({high}): {part}"
    return None


def _number(text: str, first: int, words: list[str]) -> int | None:
    if text.lower() in words:
        return words.index(text.lower()) + first
    return int(text) if text.isascii() and text.isdecimal() else None
