"""Levels, versions, and the policy of a namespace."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from apimachinery.fields import FieldError, Path
from component_base.version import MINOR

PREFIX: Final = "pod-security.kubernetes.io/"
LEVELS: Final = ("privileged", "baseline", "restricted")
"""From the most permissive to the strictest."""
PRIVILEGED, BASELINE, RESTRICTED = LEVELS
LATEST: Final = "latest"
_VERSION: Final = re.compile(r"v1\.(0|[1-9][0-9]{0,5})\Z", re.ASCII)
_LABELS: Final = Path("metadata", "labels")


class LevelVersion(NamedTuple):
    """``restricted:latest``, ``baseline:v1.25``."""

    level: str = PRIVILEGED
    version: str = LATEST

    @property
    def minor(self) -> int:
        """The x of v1.x; of ``latest`` it is this server's own."""
        return int(MINOR if self.version == LATEST else self.version.removeprefix("v1."))

    @property
    def strictness(self) -> int:
        return LEVELS.index(self.level)

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"


class Policy(NamedTuple):
    """What is refused, what is noted in the audit log, and what a client is warned of."""

    enforce: LevelVersion = LevelVersion()
    audit: LevelVersion = LevelVersion()
    warn: LevelVersion = LevelVersion()

    def __str__(self) -> str:
        modes = zip(self._fields, self, strict=True)
        return ", ".join(f"{mode}={value}" for mode, value in modes if value.level != PRIVILEGED)


def level_fault(level: str) -> str:
    return "" if level in LEVELS else f"must be one of {', '.join(LEVELS)}"


def version_fault(version: str) -> str:
    return "" if version == LATEST or _VERSION.match(version) else 'must be "latest" or "v1.x"'


def policy_of(labels: Mapping[str, str] | None, defaults: Policy) -> tuple[Policy, list[FieldError]]:
    """The policy that a namespace's labels ask for, and what is wrong with them.

    A level that does not exist is enforced as the strictest, and neither audited nor warned of.
    """
    if not labels or not any(label.startswith(PREFIX) for label in labels):
        return defaults, []
    faults: list[FieldError] = []
    modes: dict[str, LevelVersion] = {}
    for mode, default in zip(Policy._fields, defaults, strict=True):
        level, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version")
        if level is not None and (fault := level_fault(level)):
            faults.append(_LABELS.key(PREFIX + mode).invalid(level, fault))
            level = RESTRICTED if mode == "enforce" else PRIVILEGED
        if version is not None and (fault := version_fault(version)):
            faults.append(_LABELS.key(f"{PREFIX}{mode}-version").invalid(version, fault))
            version = LATEST
        modes[mode] = LevelVersion(
            default.level if level is None else level, default.version if version is None else version
        )
    return Policy(**modes), faults
