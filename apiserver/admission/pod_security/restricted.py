"""The checks that level restricted adds, by current practice of hardening pods; in Kubernetes' words."""

from typing import Final

from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.admission.pod_security.checks import (
    Check,
    Violation,
    added_capabilities,
    all_containers,
    forbidden_seccomp_type,
    must_not_add,
    named,
    names_of,
    plural,
    quoted,
    seccomp_profile_baseline,
    setters,
)

_ADDABLE: Final = frozenset(("NET_BIND_SERVICE",))
_VOLUMES: Final = (
    "config_map",
    "csi",
    "downward_api",
    "empty_dir",
    "ephemeral",
    "image",
    "persistent_volume_claim",
    "projected",
    "secret",
)
_WIRE_NAMES: Final = dict(zip(v1.Volume.__struct_fields__, v1.Volume.__struct_encode_fields__, strict=True))
"""Of fields of a volume; all but the name are its types."""


def not_on_windows(check: Check) -> Check:
    """Since 1.25 pods that say they are for Windows need not set what only Linux knows."""

    def checked(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
        return None if spec.os is not None and spec.os.name == "windows" else check(metadata, spec)

    return checked


def not_in_user_namespace(check: Check) -> Check:
    """Since 1.35: root in a user namespace of the pod is nobody on the node."""

    def checked(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
        return None if spec.host_users is False else check(metadata, spec)

    return checked


def allow_privilege_escalation(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    containers = [
        container.name
        for container in all_containers(spec)
        if container.security_context is None or container.security_context.allow_privilege_escalation is not False
    ]
    if not containers:
        return None
    return Violation(
        "allowPrivilegeEscalation != false",
        f"{named(containers)} must set securityContext.allowPrivilegeEscalation=false",
    )


def capabilities_restricted(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    keeping = [
        container.name
        for container in all_containers(spec)
        if container.security_context is None
        or container.security_context.capabilities is None
        or "ALL" not in (container.security_context.capabilities.drop or ())
    ]
    adding, forbidden = added_capabilities(spec, _ADDABLE)
    details = [f'{named(keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    details += [must_not_add(adding, forbidden)] if adding else []
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def restricted_volumes(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    volumes, types = [], set[str]()
    for volume in spec.volumes or ():
        if all(getattr(volume, field) is None for field in _VOLUMES):
            volumes.append(volume.name)
            types.add(_type_of(volume))
    if not volumes:
        return None
    return Violation(
        "restricted volume types",
        f"{plural(len(volumes), 'volume', 'volumes')} {quoted(volumes)} {plural(len(volumes), 'uses', 'use')} "
        f"{plural(len(types), 'restricted volume type', 'restricted volume types')} {quoted(sorted(types))}",
    )


def _type_of(volume: v1.Volume) -> str:
    sources = (wire for field, wire in _WIRE_NAMES.items() if field != "name" and getattr(volume, field) is not None)
    return next(sources, "unknown")


def run_as_non_root(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    of_pod = spec.security_context.run_as_non_root if spec.security_context is not None else None
    who = setters(
        pod=of_pod is False, containers=names_of(spec, lambda context: context.run_as_non_root is False)
    )  # fmt: skip
    if who:
        return Violation("runAsNonRoot != true", f"{who} must not set securityContext.runAsNonRoot=false")
    silent = [
        container.name
        for container in all_containers(spec)
        if container.security_context is None or container.security_context.run_as_non_root is None
    ]
    if of_pod or not silent:
        return None
    return Violation("runAsNonRoot != true", f"pod or {named(silent)} must set securityContext.runAsNonRoot=true")


def run_as_user(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    pod = spec.security_context is not None and spec.security_context.run_as_user == 0
    who = setters(pod=pod, containers=names_of(spec, lambda context: context.run_as_user == 0))
    return Violation("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def seccomp_profile_restricted(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    if (violation := seccomp_profile_baseline(metadata, spec)) is not None:
        return violation
    context = spec.security_context
    if context is not None and context.seccomp_profile is not None and forbidden_seccomp_type(context) is None:
        return None
    silent = [
        container.name
        for container in all_containers(spec)
        if container.security_context is None or container.security_context.seccomp_profile is None
    ]
    if not silent:
        return None
    return Violation(
        "seccompProfile",
        f'pod or {named(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"',
    )
