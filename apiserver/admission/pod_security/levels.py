"""Levels and versions of the Pod Security Standards, and the policy that a namespace's labels state."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeVar, get_args

from apimachinery.fields import FieldError, Path

T = TypeVar("T")

Level = Literal["privileged", "baseline", "restricted"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
"""From the laxest to the strictest."""
PREFIX: Final = "pod-security.kubernetes.io/"
LATEST: Final = 1 << 30
"""The minor version that ``latest`` stands for: newer than all others."""

_VERSION: Final = re.compile(r"v1\.(0|[1-9][0-9]{0,8})", re.ASCII)
_LABELS: Final = Path("metadata", "labels")


def parse_level(text: str) -> Level:
    """Raises ValueError."""
    for level in LEVELS:
        if text == level:
            return level
    raise ValueError(f"must be one of {', '.join(LEVELS)}")


def parse_version(text: str) -> int:
    """The minor version. Raises ValueError."""
    if text == "latest":
        return LATEST
    if (match := _VERSION.fullmatch(text)) is None:
        raise ValueError('must be "latest" or "v1.x"')
    return int(match[1])


class LevelVersion(NamedTuple):
    """A level of the standards as a minor version of Kubernetes defines it."""

    level: Level = "privileged"
    version: int = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.version == LATEST else f'v1.{self.version}'}"

    def is_stricter(self, other: "LevelVersion") -> bool:
        return LEVELS.index(self.level) > LEVELS.index(other.level)


class Policy(NamedTuple):
    """What a namespace demands of its pods: what is refused, what is recorded, of what a client is warned."""

    enforce: LevelVersion = LevelVersion()
    audit: LevelVersion = LevelVersion()
    warn: LevelVersion = LevelVersion()

    @property
    def is_privileged(self) -> bool:
        """Whether it demands nothing at all."""
        return all(mode.level == "privileged" for mode in self)

    def __str__(self) -> str:
        modes = zip(self._fields, self, strict=True)
        return ", ".join(f"{name}={mode}" for name, mode in modes if mode.level != "privileged")


class Reading(NamedTuple):
    """What labels say, and what is wrong with them."""

    policy: Policy
    faults: tuple[FieldError, ...]


def read_labels(labels: Mapping[str, str] | None, defaults: Policy) -> Reading:
    """The policy of a namespace. A label that is wrong counts: as ``restricted`` if it enforces, else as nothing."""
    if not labels or not any(label.startswith(PREFIX) for label in labels):
        return Reading(defaults, ())
    faults: list[FieldError] = []
    modes = [
        LevelVersion(
            _read(
                labels, mode, parse_level, default.level, "restricted" if mode == "enforce" else "privileged", faults
            ),
            _read(labels, f"{mode}-version", parse_version, default.version, LATEST, faults),
        )
        for mode, default in zip(Policy._fields, defaults, strict=True)
    ]
    return Reading(Policy(*modes), tuple(faults))


def _read(
    labels: Mapping[str, str], name: str, parse: Callable[[str], T], default: T, instead: T, faults: list[FieldError]
) -> T:
    """``instead`` is the value of a label that cannot be read."""
    label = PREFIX + name
    if (text := labels.get(label)) is None:
        return default
    try:
        return parse(text)
    except ValueError as fault:
        faults.append(_LABELS.key(label).invalid(text, str(fault)))
        return instead


def check_policy(path: Path, texts: Mapping[str, str]) -> Iterator[FieldError]:
    """What is wrong with a policy under the names of labels, without their prefix."""
    for name, text in texts.items():
        try:
            (parse_version if name.endswith("-version") else parse_level)(text)
        except ValueError as fault:
            yield (path / name).invalid(text, str(fault))
