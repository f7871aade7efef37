"""The parts of a pod's spec besides containers and volumes: DNS, host aliases, gates, lifecycle, security contexts."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from apimachinery import codec, names
from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1
from apiserver.registry import field_rules
from apiserver.registry.core.windows_validation import validate_host_processes, validate_windows_options

_NAMESERVERS: Final = 3
_SEARCHES: Final = 32
_SEARCH_LENGTH: Final = 2048


def validate_settings(path: Path, spec: v1.PodSpec) -> Iterator[FieldError]:
    """Every fault of these."""
    yield from _dns(path / "dnsConfig", spec)
    for i, alias in enumerate(spec.host_aliases or ()):
        yield from field_rules.address((path / "hostAliases")[i] / "ip", alias.ip)
        for j, name in enumerate(alias.hostnames or ()):
            yield from names.check(((path / "hostAliases")[i] / "hostnames")[j], name, names.dns_subdomain)
    for i, secret in enumerate(spec.image_pull_secrets or ()):
        if not secret.name:
            yield ((path / "imagePullSecrets")[i] / "name").required()
    if spec.ephemeral_containers:
        yield (path / "ephemeralContainers").forbidden("cannot be set on create")
    for i, gate in enumerate(spec.scheduling_gates or ()):
        yield from names.check((path / "schedulingGates")[i] / "name", gate.name, names.qualified_name)
        if gate in (spec.scheduling_gates or [])[:i]:
            yield (path / "schedulingGates")[i].duplicate(gate.name)
    if spec.security_context is not None:
        yield from validate_pod_security(path / "securityContext", spec.security_context)
    for field, of in (("priorityClassName", spec.priority_class_name), ("runtimeClassName", spec.runtime_class_name)):
        if of:
            yield from names.check(path / field, of, names.dns_subdomain)
    for i, ready in enumerate(spec.readiness_gates or ()):
        place = (path / "readinessGates")[i] / "conditionType"
        yield from names.check(place, ready.condition_type, names.qualified_name)
    yield from field_rules.one_of(path / "preemptionPolicy", spec.preemption_policy, ("Never", "PreemptLowerPriority"))
    yield from _operating_system(path, spec)
    yield from validate_host_processes(path, spec)
    if spec.host_users is False:
        for field, shared in (
            ("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc),
        ):  # fmt: skip
            if shared:
                yield (path / field).forbidden("when `hostUsers` is false")
    yield from _init_containers(path / "initContainers", spec.init_containers or ())


def _operating_system(path: Path, spec: v1.PodSpec) -> Iterator[FieldError]:
    if spec.os is None:
        return
    yield from field_rules.required(path / "os" / "name", spec.os.name, ("linux", "windows"))
    if spec.os.name != "linux":
        return
    contexts: list[tuple[Path, v1.PodSecurityContext | v1.SecurityContext | None]] = [(path, spec.security_context)]
    for field, containers in (("initContainers", spec.init_containers or ()), ("containers", spec.containers)):
        contexts += [((path / field)[i], container.security_context) for i, container in enumerate(containers)]
    for place, context in contexts:
        if context is not None and context.windows_options is not None:
            where = place / "securityContext" / "windowsOptions"
            yield where.forbidden("windows options cannot be set for a linux pod")


def _init_containers(path: Path, containers: Iterable[v1.Container]) -> Iterator[FieldError]:
    """Only sidecars (restartPolicy Always) may have probes and a lifecycle."""
    for i, container in enumerate(containers):
        yield from field_rules.one_of(path[i] / "restartPolicy", container.restart_policy, ("Always",))
        if container.restart_policy == "Always":
            continue
        for field, value in (
            ("lifecycle", container.lifecycle), ("livenessProbe", container.liveness_probe),
            ("readinessProbe", container.readiness_probe), ("startupProbe", container.startup_probe),
        ):  # fmt: skip
            if value is not None:
                yield (path[i] / field).forbidden("may not be set for init containers without restartPolicy=Always")


def validate_container_settings(path: Path, container: v1.Container) -> Iterator[FieldError]:
    """The same of one container."""
    context = container.security_context
    if context is not None:
        yield from validate_container_security(path / "securityContext", context)


def _dns(path: Path, spec: v1.PodSpec) -> Iterator[FieldError]:
    config = spec.dns_config
    servers, searches = (config.nameservers or [], config.searches or []) if config else ([], [])
    if spec.dns_policy == "None" and config is None:
        yield path.required("must provide `dnsConfig` when `dnsPolicy` is None")
    elif spec.dns_policy == "None" and not servers:
        yield (path / "nameservers").required("must provide at least one DNS nameserver when `dnsPolicy` is None")
    if len(servers) > _NAMESERVERS:
        yield (path / "nameservers").invalid(servers, f"must not have more than {_NAMESERVERS} nameservers")
    for i, server in enumerate(servers):
        yield from field_rules.address((path / "nameservers")[i], server)
    if len(searches) > _SEARCHES:
        yield (path / "searches").invalid(searches, f"must not have more than {_SEARCHES} search paths")
    for i, search in enumerate(searches):  # a single dot is the root; underscores are in the names of some domains
        if search != ".":
            name = search.removesuffix(".").replace("_", "a")
            yield from names.check((path / "searches")[i], name, names.dns_subdomain)
    if len(" ".join(searches)) > _SEARCH_LENGTH:
        yield (path / "searches").invalid(
            searches, f"must not have more than {_SEARCH_LENGTH} characters (including spaces) in the search list"
        )
    for i, option in enumerate(config.options or () if config else ()):
        if not option.name:
            yield ((path / "options")[i] / "name").required()
        for field, text in (("name", option.name), ("value", option.value)):  # each is a word in a line of a file
            if text and not re.fullmatch(r"\S+", text):
                yield ((path / "options")[i] / field).invalid(text, "must not contain white space")


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
            *((f"supplementalGroups[{i}]", group) for i, group in enumerate(context.supplemental_groups or ())),
        ),
    )
    yield from field_rules.one_of(
        path / "fsGroupChangePolicy", context.fs_group_change_policy, ("Always", "OnRootMismatch")
    )
    yield from field_rules.one_of(
        path / "supplementalGroupsPolicy", context.supplemental_groups_policy, ("Merge", "Strict")
    )
    yield from field_rules.one_of(
        path / "seLinuxChangePolicy", context.se_linux_change_policy, ("MountOption", "Recursive")
    )
    yield from _profiles(path, context)
    if context.windows_options is not None:
        yield from validate_windows_options(path / "windowsOptions", context.windows_options)
    earlier: set[str] = set()
    for i, sysctl in enumerate(context.sysctls or ()):
        place = (path / "sysctls")[i] / "name"
        if not sysctl.name:
            yield place.required()
        elif len(sysctl.name) > 253 or not _SYSCTL.match(sysctl.name):
            yield place.invalid(sysctl.name, f"must have at most 253 characters and match regex {_SYSCTL_FORM}")
        elif sysctl.name in earlier:
            yield place.duplicate(sysctl.name)
        earlier.add(sysctl.name)


def validate_container_security(path: Path, context: v1.SecurityContext) -> Iterator[FieldError]:
    """``securityContext`` of a container."""
    yield from _ids(path, (("runAsUser", context.run_as_user), ("runAsGroup", context.run_as_group)))
    yield from _profiles(path, context)
    if context.windows_options is not None:
        yield from validate_windows_options(path / "windowsOptions", context.windows_options)
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


def _profiles(path: Path, context: v1.PodSecurityContext | v1.SecurityContext) -> Iterator[FieldError]:
    for field, what, profile in (
        ("seccompProfile", "seccomp", context.seccomp_profile),
        ("appArmorProfile", "AppArmor", context.app_armor_profile),
    ):
        if profile is not None:
            yield from _profile(path / field, what, profile)


def _profile(path: Path, what: str, profile: v1.SeccompProfile | v1.AppArmorProfile) -> Iterator[FieldError]:
    if not profile.type:
        yield (path / "type").required(f"type is required when {str(path).rpartition('.')[2]} is set")
    else:
        yield from field_rules.one_of(path / "type", profile.type, _PROFILES)
    if profile.type == "Localhost":
        if not profile.localhost_profile:
            yield (path / "localhostProfile").required(f"must be set when {what} type is Localhost")
    elif profile.localhost_profile is not None:
        yield (path / "localhostProfile").invalid(
            profile.localhost_profile, f"can only be set when {what} type is Localhost"
        )


def _ids(path: Path, ids: Iterable[tuple[str, int | None]]) -> Iterator[FieldError]:
    for field, number in ids:
        if number is not None and not 0 <= number <= _LARGEST_ID:
            yield (path / field).invalid(number, f"must be between 0 and {_LARGEST_ID}, inclusive")
