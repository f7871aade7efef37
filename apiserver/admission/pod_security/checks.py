"""The checks of level baseline, which prevent known privilege escalations; in Kubernetes' words.

A check gets the metadata and spec of a pod, or of a template of pods, and returns a ``Violation`` or None. Init
containers and ephemeral containers are containers like all others.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import ObjectMeta


class Violation(NamedTuple):
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


Check = Callable[[ObjectMeta, v1.PodSpec], Violation | None]
AnyContainer = v1.Container | v1.EphemeralContainer

PROFILES: Final = ("RuntimeDefault", "Localhost")
"""Types of seccomp and AppArmor profiles that confine a container."""
_APP_ARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_OF_POD: Final = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_OF_CONTAINER: Final = "container.seccomp.security.alpha.kubernetes.io/"
_CAPABILITIES: Final = frozenset(
    (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
_SE_LINUX_TYPES: Final = frozenset(("", "container_t", "container_init_t", "container_kvm_t"))
_SE_LINUX_TYPES_1_31: Final = _SE_LINUX_TYPES | {"container_engine_t"}
_SYSCTLS: Final = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
    )
)
_SYSCTLS_1_27: Final = _SYSCTLS | {"net.ipv4.ip_local_reserved_ports"}
_SYSCTLS_1_29: Final = _SYSCTLS_1_27 | {
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
_SYSCTLS_1_32: Final = _SYSCTLS_1_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}

# -- what checks share


def all_containers(spec: v1.PodSpec) -> Iterator[AnyContainer]:
    yield from spec.init_containers or ()
    yield from spec.containers
    yield from spec.ephemeral_containers or ()


def names_of(spec: v1.PodSpec, is_bad: Callable[[v1.SecurityContext], bool]) -> list[str]:
    """The containers whose own security context is bad."""
    return [
        container.name
        for container in all_containers(spec)
        if container.security_context is not None and is_bad(container.security_context)
    ]


def plural(count: int, singular: str, plural: str) -> str:
    return singular if count == 1 else plural


def quoted(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def named(containers: list[str]) -> str:
    return f"{plural(len(containers), 'container', 'containers')} {quoted(containers)}"


def setters(*, pod: bool, containers: list[str]) -> str:
    """Who has set what is forbidden: the pod, containers, or both; empty if nobody."""
    return " and ".join([*(["pod"] if pod else []), *([named(containers)] if containers else [])])


def values_and_setters(spec: v1.PodSpec, value: Callable[[Any], str | None]) -> tuple[set[str], bool, list[str]]:
    """The forbidden values in security contexts, whether the pod has set any, and the containers that have.

    Args:
        value: the forbidden value of a context of a pod or container; None if it has none.
    """
    of_pod = value(spec.security_context) if spec.security_context is not None else None
    values, containers = {of_pod} if of_pod is not None else set(), []
    for container in all_containers(spec):
        context = container.security_context
        if context is not None and (bad := value(context)) is not None:
            values.add(bad)
            containers.append(container.name)
    return values, of_pod is not None, containers


# -- the checks


def app_armor_profile(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    def forbidden(context: v1.SecurityContext | v1.PodSecurityContext) -> str | None:
        profile = context.app_armor_profile
        return profile.type if profile is not None and profile.type not in PROFILES else None

    values, pod, containers = values_and_setters(spec, forbidden)
    annotations = sorted(
        f'{key}="{value}"'
        for key, value in (metadata.annotations or {}).items()
        if key.startswith(_APP_ARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    who = [setters(pod=pod, containers=containers)] if pod or containers else []
    if annotations:
        who.append(plural(len(annotations), "annotation", "annotations"))
    if not who:
        return None
    profiles = [*sorted(values), *annotations]
    return Violation(
        plural(len(profiles), "forbidden AppArmor profile", "forbidden AppArmor profiles"),
        f"{' and '.join(who)} must not set AppArmor profile type to {quoted(profiles)}",
    )


def capabilities_baseline(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    containers, forbidden = added_capabilities(spec, _CAPABILITIES)
    if not containers:
        return None
    return Violation("non-default capabilities", must_not_add(containers, forbidden))


def added_capabilities(spec: v1.PodSpec, allowed: frozenset[str]) -> tuple[list[str], set[str]]:
    """The containers that add capabilities which are not allowed, and these."""
    names, forbidden = [], set[str]()
    for container in all_containers(spec):
        context = container.security_context
        added = (context.capabilities.add or ()) if context is not None and context.capabilities is not None else ()
        if bad := {capability for capability in added if capability not in allowed}:
            names.append(container.name)
            forbidden |= bad
    return names, forbidden


def must_not_add(containers: list[str], capabilities: set[str]) -> str:
    return f"{named(containers)} must not include {quoted(sorted(capabilities))} in securityContext.capabilities.add"


def host_namespaces(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    flags = (("hostIPC", spec.host_ipc), ("hostNetwork", spec.host_network), ("hostPID", spec.host_pid))
    shared = [f"{name}=true" for name, is_set in flags if is_set]
    return Violation("host namespaces", ", ".join(shared)) if shared else None


def host_path_volumes(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    volumes = [volume.name for volume in spec.volumes or () if volume.host_path is not None]
    if not volumes:
        return None
    return Violation("hostPath volumes", f"{plural(len(volumes), 'volume', 'volumes')} {quoted(volumes)}")


def host_ports(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    containers, ports = [], set[str]()
    for container in all_containers(spec):
        if bad := {str(port.host_port) for port in container.ports or () if port.host_port}:
            containers.append(container.name)
            ports |= bad
    if not containers:
        return None
    uses, hosts = plural(len(containers), "uses", "use"), plural(len(ports), "hostPort", "hostPorts")
    return Violation("hostPort", f"{named(containers)} {uses} {hosts} {', '.join(sorted(ports))}")


def host_probes_and_lifecycle(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    """The kubelet itself asks the host that a handler names, so a pod could reach what its node can."""
    containers, hosts = set[str](), set[str]()
    for container in all_containers(spec):
        lifecycle = container.lifecycle or v1.Lifecycle()
        for handler in (
            container.liveness_probe,
            container.readiness_probe,
            container.startup_probe,
            lifecycle.post_start,
            lifecycle.pre_stop,
        ):
            for action in (handler.http_get, handler.tcp_socket) if handler is not None else ():
                if action is not None and action.host:
                    containers.add(container.name)
                    hosts.add(action.host)
    if not containers:
        return None
    uses = plural(len(containers), "uses", "use")
    what = plural(len(hosts), "probe or lifecycle host", "probe or lifecycle hosts")
    detail = f"{named(sorted(containers))} {uses} {what} {quoted(sorted(hosts))}"
    return Violation("probe or lifecycle host", detail)


def privileged(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    containers = names_of(spec, lambda context: context.privileged is True)
    if not containers:
        return None
    return Violation("privileged", f"{named(containers)} must not set securityContext.privileged=true")


def proc_mount(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    types = set[str]()

    def is_bad(context: v1.SecurityContext) -> bool:
        if context.proc_mount in (None, "Default"):
            return False
        types.add(context.proc_mount or "")
        return True

    containers = names_of(spec, is_bad)
    if not containers:
        return None
    return Violation(
        "procMount", f"{named(containers)} must not set securityContext.procMount to {quoted(sorted(types))}"
    )


def proc_mount_1_35(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    return None if spec.host_users is False else proc_mount(metadata, spec)


def se_linux_options(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    return _se_linux_options(spec, _SE_LINUX_TYPES)


def se_linux_options_1_31(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    return _se_linux_options(spec, _SE_LINUX_TYPES_1_31)


def _se_linux_options(spec: v1.PodSpec, allowed: frozenset[str]) -> Violation | None:
    types, more = set[str](), set[str]()

    def is_bad(context: v1.SecurityContext | v1.PodSecurityContext) -> bool:
        options = context.se_linux_options
        if options is None:
            return False
        has_bad_type = (options.type or "") not in allowed
        types.update([options.type or ""] if has_bad_type else [])
        more.update(name for name, value in (("user", options.user), ("role", options.role)) if value)
        return bool(has_bad_type or options.user or options.role)

    pod = spec.security_context is not None and is_bad(spec.security_context)
    who = setters(pod=pod, containers=names_of(spec, is_bad))
    if not who:
        return None
    what = [f"{plural(len(types), 'type', 'types')} {quoted(sorted(types))}"] if types else []
    what += [f"{name} may not be set" for name in ("user", "role") if name in more]
    return Violation("seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(what)}")


def seccomp_annotations(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    """Before 1.19 the profile was an annotation."""
    keys = {SECCOMP_OF_POD, *(SECCOMP_OF_CONTAINER + container.name for container in all_containers(spec))}
    forbidden = sorted(
        f'{key}="{value}"'
        for key, value in (metadata.annotations or {}).items()
        if key in keys and value not in ("runtime/default", "docker/default") and not value.startswith("localhost/")
    )
    if not forbidden:
        return None
    word = plural(len(forbidden), "annotation", "annotations")
    return Violation("seccompProfile", f"forbidden {word} {', '.join(forbidden)}")


def forbidden_seccomp_type(context: v1.SecurityContext | v1.PodSecurityContext) -> str | None:
    profile = context.seccomp_profile
    return profile.type if profile is not None and profile.type not in PROFILES else None


def seccomp_profile_baseline(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    types, pod, containers = values_and_setters(spec, forbidden_seccomp_type)
    if not types:
        return None
    who = setters(pod=pod, containers=containers)
    return Violation(
        "seccompProfile", f"{who} must not set securityContext.seccompProfile.type to {quoted(sorted(types))}"
    )


def sysctls(allowed: frozenset[str]) -> Check:
    def check(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
        settings = (spec.security_context.sysctls or ()) if spec.security_context is not None else ()
        forbidden = [setting.name for setting in settings if setting.name not in allowed]
        return Violation("forbidden sysctls", ", ".join(forbidden)) if forbidden else None

    return check


def windows_host_process(metadata: ObjectMeta, spec: v1.PodSpec) -> Violation | None:
    def is_bad(context: v1.SecurityContext | v1.PodSecurityContext) -> bool:
        return context.windows_options is not None and context.windows_options.host_process is True

    pod = spec.security_context is not None and is_bad(spec.security_context)
    who = setters(pod=pod, containers=names_of(spec, is_bad))
    if not who:
        return None
    return Violation("hostProcess", f"{who} must not set securityContext.windowsOptions.hostProcess=true")


SYSCTLS: Final = {0: _SYSCTLS, 27: _SYSCTLS_1_27, 29: _SYSCTLS_1_29, 32: _SYSCTLS_1_32}
"""Those that are safe, by the minor version from which on."""
