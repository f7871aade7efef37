"""A container's security context as the engine's settings. Pure.

What the engine cannot do raises ``Unsupported`` and is never ignored: a container must not get more power than its spec
says.
"""

from pathlib import Path
from typing import Any

from apimachinery.types import core_v1

APPARMOR = Path("/sys/kernel/security/apparmor")
"""Exists where the kernel enforces AppArmor profiles."""


UNCONFINED = "unconfined"
"""The engine's name of no seccomp profile."""


class Unsupported(ValueError):
    """The security context needs what this node cannot do; the message is for people."""


def settings(pod: core_v1.Pod, container: core_v1.Container, seccomp: str) -> dict[str, Any]:
    """Part of the engine's host configuration.

    ``seccomp`` is the JSON of the profile of ``localhost_seccomp``, or what a container gets that names no profile at all:
    ``UNCONFINED``, or empty for the engine's own.
    """
    own, of_pod = _contexts(pod, container)
    capabilities = own.capabilities or core_v1.Capabilities()
    groups = [*(of_pod.supplemental_groups or ())]
    if of_pod.fs_group is not None:
        groups.append(of_pod.fs_group)
    host_config: dict[str, Any] = {
        "Privileged": bool(own.privileged),
        "ReadonlyRootfs": bool(own.read_only_root_filesystem),
        "CapAdd": [name.upper().removeprefix("CAP_") for name in capabilities.add or ()],
        "CapDrop": [name.upper().removeprefix("CAP_") for name in capabilities.drop or ()],
        "GroupAdd": [str(group) for group in groups],
        "SecurityOpt": [*_options(own, of_pod, seccomp)],
    }
    if own.proc_mount == "Unmasked":
        host_config["MaskedPaths"], host_config["ReadonlyPaths"] = [], []
    return host_config


def localhost_seccomp(pod: core_v1.Pod, container: core_v1.Container) -> str:
    """The name of the node's seccomp profile that the container names; empty if it names none."""
    own, of_pod = _contexts(pod, container)
    profile = own.seccomp_profile or of_pod.seccomp_profile
    return (profile.localhost_profile or "") if profile and profile.type == "Localhost" else ""


def check(pod: core_v1.Pod, container: core_v1.Container, *, apparmor: bool) -> None:
    """Raise ``Unsupported`` for what this node cannot do. ``apparmor`` is whether its kernel enforces AppArmor."""
    own, of_pod = _contexts(pod, container)
    profile = own.app_armor_profile or of_pod.app_armor_profile
    if profile and profile.type != "Unconfined" and not apparmor:
        raise Unsupported("Cannot enforce AppArmor: AppArmor is not enabled on the host")
    if pod.spec.host_users is False:
        raise Unsupported("hostUsers: false: the container engine has no user namespace per pod")
    if own.windows_options or of_pod.windows_options:
        raise Unsupported("windowsOptions: this node runs Linux")
    if of_pod.supplemental_groups_policy == "Strict":
        raise Unsupported("supplementalGroupsPolicy: Strict: the container engine adds the groups of the image's user")
    if own.allow_privilege_escalation is False and own.privileged:
        raise Unsupported("cannot set `allowPrivilegeEscalation` to false and `privileged` to true")


def _contexts(
    pod: core_v1.Pod, container: core_v1.Container
) -> tuple[core_v1.SecurityContext, core_v1.PodSecurityContext]:
    own = container.security_context or core_v1.SecurityContext()
    return own, pod.spec.security_context or core_v1.PodSecurityContext()


def _options(own: core_v1.SecurityContext, of_pod: core_v1.PodSecurityContext, seccomp: str) -> list[str]:
    options: list[str] = []
    if own.allow_privilege_escalation is False:
        options.append("no-new-privileges")
    profile = own.seccomp_profile or of_pod.seccomp_profile
    if profile and profile.type == "Unconfined":
        options.append(f"seccomp={UNCONFINED}")
    elif profile is None or profile.type == "Localhost":
        options += [f"seccomp={seccomp}"] if seccomp else []
    armor = own.app_armor_profile or of_pod.app_armor_profile
    if armor and armor.type != "RuntimeDefault":
        options.append(f"apparmor={armor.localhost_profile if armor.type == 'Localhost' else 'unconfined'}")
    labels = own.se_linux_options or of_pod.se_linux_options
    if labels:
        fields = {"user": labels.user, "role": labels.role, "type": labels.type, "level": labels.level}
        options += [f"label={name}:{value}" for name, value in fields.items() if value]
    return options
