"""The baseline: no known way out of the container."""

import json
from collections.abc import Iterator
from typing import Final

from apimachinery.types.core_v1 import LifecycleHandler, PodSpec, Probe, SeccompProfile, SELinuxOptions
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.admission.pod_security.findings import (
    AnyContainer,
    Check,
    Violation,
    containers_of,
    contexts_of,
    named,
    plural,
    quoted,
    setters,
)

SECCOMP_POD_ANNOTATION: Final = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER_ANNOTATION: Final = "container.seccomp.security.alpha.kubernetes.io/"
_APPARMOR_ANNOTATION: Final = "container.apparmor.security.beta.kubernetes.io/"
_PROFILES: Final = ("RuntimeDefault", "Localhost")
_CAPABILITIES: Final = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
})  # fmt: skip


def app_armor_profile(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    own = spec.security_context.app_armor_profile if spec.security_context else None
    pod, values = own is not None and own.type not in _PROFILES, set[str]()
    if own is not None and pod:
        values.add(own.type)
    names = []
    for name, context in contexts_of(spec):
        if context.app_armor_profile is not None and context.app_armor_profile.type not in _PROFILES:
            names.append(name)
            values.add(context.app_armor_profile.type)
    annotations = sorted(
        f"{key}={json.dumps(value, ensure_ascii=False)}"
        for key, value in (metadata.annotations or {}).items()
        if key.startswith(_APPARMOR_ANNOTATION)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    culprits = [
        *filter(None, [setters(pod, names)]),
        *([plural(len(annotations), "annotation")] if annotations else []),
    ]
    if not culprits:
        return None
    forbidden = [*sorted(values), *annotations]
    return Violation(
        plural(len(forbidden), "forbidden AppArmor profile"),
        f"{' and '.join(culprits)} must not set AppArmor profile type to {quoted(forbidden)}",
    )


def capabilities(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    names, added = [], set[str]()
    for name, context in contexts_of(spec):
        forbidden = set((context.capabilities.add if context.capabilities else None) or ()) - _CAPABILITIES
        if forbidden:
            names.append(name)
            added |= forbidden
    if not names:
        return None
    detail = f"{named(names)} must not include {quoted(sorted(added))} in securityContext.capabilities.add"
    return Violation("non-default capabilities", detail)


def host_namespaces(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    flags = {"hostNetwork": spec.host_network, "hostPID": spec.host_pid, "hostIPC": spec.host_ipc}
    shared = [name for name, is_shared in flags.items() if is_shared]
    return Violation("host namespaces", ", ".join(f"{name}=true" for name in shared)) if shared else None


def host_path_volumes(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    names = [volume.name for volume in spec.volumes or () if volume.host_path is not None]
    return Violation("hostPath volumes", f"{plural(len(names), 'volume')} {quoted(names)}") if names else None


def host_ports(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    used = {
        container.name: {str(port.host_port) for port in container.ports or () if port.host_port}
        for container in containers_of(spec)
    }
    names = [name for name, ports in used.items() if ports]
    if not names:
        return None
    ports = sorted(set().union(*used.values()))
    what = plural(len(ports), "hostPort")
    return Violation("hostPort", f"{named(names)} {plural(len(names), 'uses', 'use')} {what} {', '.join(ports)}")


def host_probes(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    used = {container.name: set(_hosts(container)) for container in containers_of(spec)}
    names = sorted(name for name, hosts in used.items() if hosts)
    if not names:
        return None
    hosts = sorted(set().union(*used.values()))
    what = plural(len(hosts), "probe or lifecycle host")
    detail = f"{named(names)} {plural(len(names), 'uses', 'use')} {what} {quoted(hosts)}"
    return Violation("probe or lifecycle host", detail)


def _hosts(container: AnyContainer) -> Iterator[str]:
    lifecycle = container.lifecycle
    handlers: tuple[Probe | LifecycleHandler | None, ...] = (
        container.liveness_probe, container.readiness_probe, container.startup_probe,
        lifecycle.post_start if lifecycle else None, lifecycle.pre_stop if lifecycle else None,
    )  # fmt: skip
    for handler in handlers:
        for action in (handler.http_get, handler.tcp_socket) if handler is not None else ():
            if action is not None and action.host:
                yield action.host


def privileged(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    names = [name for name, context in contexts_of(spec) if context.privileged]
    return Violation("privileged", f"{named(names)} must not set securityContext.privileged=true") if names else None


def proc_mount(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    mounts = {name: context.proc_mount for name, context in contexts_of(spec)}
    forbidden = {name: mount for name, mount in mounts.items() if mount is not None and mount != "Default"}
    if not forbidden:
        return None
    values = quoted(sorted(set(forbidden.values())))
    return Violation("procMount", f"{named(list(forbidden))} must not set securityContext.procMount to {values}")


def selinux_options(*allowed: str) -> Check:
    """The check that allows these types besides none."""

    def check(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
        own = spec.security_context.se_linux_options if spec.security_context else None
        options = {name: context.se_linux_options for name, context in contexts_of(spec)}
        forbidden = {name: option for name, option in options.items() if option is not None and is_forbidden(option)}
        culprits = [*forbidden.values(), *([own] if own is not None and is_forbidden(own) else [])]
        if not culprits:
            return None
        who = setters(own is not None and is_forbidden(own), list(forbidden))
        types = sorted({option.type for option in culprits if option.type and option.type not in allowed})
        what = [f"{plural(len(types), 'type')} {quoted(types)}"] if types else []
        what += ["user may not be set"] if any(option.user for option in culprits) else []
        what += ["role may not be set"] if any(option.role for option in culprits) else []
        return Violation("seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(what)}")

    def is_forbidden(option: SELinuxOptions) -> bool:
        return bool(option.user or option.role or (option.type and option.type not in allowed))

    return check


def seccomp_annotations(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    """Before version 1.19, which has fields for it."""
    keys = [SECCOMP_POD_ANNOTATION, *(SECCOMP_CONTAINER_ANNOTATION + item.name for item in containers_of(spec))]
    values = {key: (metadata.annotations or {}).get(key, "runtime/default") for key in keys}
    forbidden = sorted(
        f"{key}={json.dumps(value, ensure_ascii=False)}"
        for key, value in values.items()
        if value not in ("runtime/default", "docker/default") and not value.startswith("localhost/")
    )
    if not forbidden:
        return None
    return Violation("seccompProfile", f"forbidden {plural(len(forbidden), 'annotation')} {', '.join(forbidden)}")


def seccomp_profile(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    own = spec.security_context.seccomp_profile if spec.security_context else None
    profiles = {name: context.seccomp_profile for name, context in contexts_of(spec)}
    forbidden = {name: profile for name, profile in profiles.items() if _is_unconfined(profile)}
    if not forbidden and not _is_unconfined(own):
        return None
    values = {profile.type for profile in (own, *forbidden.values()) if profile is not None and _is_unconfined(profile)}
    who = setters(_is_unconfined(own), list(forbidden))
    detail = f"{who} must not set securityContext.seccompProfile.type to {quoted(sorted(values))}"
    return Violation("seccompProfile", detail)


def _is_unconfined(profile: SeccompProfile | None) -> bool:
    return profile is not None and profile.type not in _PROFILES


def sysctls(*allowed: str) -> Check:
    """The check that allows these."""

    def check(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
        wanted = (spec.security_context.sysctls if spec.security_context else None) or ()
        forbidden = [sysctl.name for sysctl in wanted if sysctl.name not in allowed]
        return Violation("forbidden sysctls", ", ".join(forbidden)) if forbidden else None

    return check


def windows_host_process(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    own = spec.security_context.windows_options if spec.security_context else None
    names = [
        name for name, context in contexts_of(spec) if context.windows_options and context.windows_options.host_process
    ]
    who = setters(bool(own and own.host_process), names)
    detail = f"{who} must not set securityContext.windowsOptions.hostProcess=true"
    return Violation("hostProcess", detail) if who else None
