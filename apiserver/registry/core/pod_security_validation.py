"""What a pod and its containers may say of users, privileges, seccomp and sysctls (core/validation)."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from apimachinery import codec
from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1
from apiserver.registry import field_rules

_LARGEST_ID: Final = 2**31 - 1
_SYSCTL_FORM: Final = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
_SYSCTL: Final = re.compile(_SYSCTL_FORM)
_PROFILES: Final = ("Localhost", "RuntimeDefault", "Unconfined")


def validate_pod_security(path: Path, context: v1.PodSecurityContext) -> Iterator[FieldError]:
    """``securityContext`` of a pod."""
    yield from _ids(
        path,
        (
            ("runAsUser", context.run_as_user),
            ("runAsGroup", context.run_as_group),
            ("fsGroup", context.fs_group),
            *((f"supplementalGroups[{i}]", one) for i, one in enumerate(context.supplemental_groups or ())),
        ),
    )
    yield from field_rules.one_of(
        path / "fsGroupChangePolicy", context.fs_group_change_policy, ("Always", "OnRootMismatch")
    )
    yield from _seccomp(path / "seccompProfile", context.seccomp_profile)
    seen: set[str] = set()
    for i, sysctl in enumerate(context.sysctls or ()):
        place = (path / "sysctls")[i] / "name"
        if not sysctl.name:
            yield place.required()
        elif len(sysctl.name) > 253 or not _SYSCTL.match(sysctl.name):
            yield place.invalid(sysctl.name, f"must have at most 253 characters and match regex {_SYSCTL_FORM}")
        elif sysctl.name in seen:
            yield place.duplicate(sysctl.name)
        seen.add(sysctl.name)


def validate_container_security(path: Path, context: v1.SecurityContext) -> Iterator[FieldError]:
    """``securityContext`` of a container."""
    yield from _ids(path, (("runAsUser", context.run_as_user), ("runAsGroup", context.run_as_group)))
    yield from _seccomp(path / "seccompProfile", context.seccomp_profile)
    yield from field_rules.one_of(path / "procMount", context.proc_mount, ("Default", "Unmasked"))
    if context.allow_privilege_escalation is False:
        if context.privileged:
            yield path.invalid(
                codec.to_builtins(context), "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            )
        if context.capabilities is not None and "CAP_SYS_ADMIN" in (context.capabilities.add or ()):
            yield path.invalid(
                codec.to_builtins(context),
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            )


def _seccomp(path: Path, profile: v1.SeccompProfile | None) -> Iterator[FieldError]:
    if profile is None:
        return
    if not profile.type:
        yield (path / "type").required("type is required when seccompProfile is set")
    else:
        yield from field_rules.one_of(path / "type", profile.type, _PROFILES)
    if profile.type == "Localhost":
        if not profile.localhost_profile:
            yield (path / "localhostProfile").required("must be set when seccomp type is Localhost")
    elif profile.localhost_profile is not None:
        yield (path / "localhostProfile").invalid(
            profile.localhost_profile, "can only be set when seccomp type is Localhost"
        )


def _ids(path: Path, ids: Iterable[tuple[str, int | None]]) -> Iterator[FieldError]:
    for field, number in ids:
        if number is not None and not 0 <= number <= _LARGEST_ID:
            yield (path / field).invalid(number, f"must be between 0 and {_LARGEST_ID}, inclusive")
