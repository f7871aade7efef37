"""Which check applies at which level and version of the standard."""

from functools import lru_cache
from typing import Final, NamedTuple

from apimachinery.types.core_v1 import PodSpec
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.admission.pod_security import baseline, restricted
from apiserver.admission.pod_security.findings import Check, Violation
from apiserver.admission.pod_security.levels import BASELINE, PRIVILEGED, RESTRICTED, LevelVersion
from apiserver.admission.pod_security.restricted import unless_windows

_SELINUX: Final = ("container_t", "container_init_t", "container_kvm_t")
_SYSCTLS_1_0: Final = (
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start",
)  # fmt: skip
_SYSCTLS_1_27: Final = (*_SYSCTLS_1_0, "net.ipv4.ip_local_reserved_ports")
_SYSCTLS_1_29: Final = (
    *_SYSCTLS_1_27, "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
)  # fmt: skip
_SYSCTLS_1_32: Final = (*_SYSCTLS_1_29, "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")


class _Row(NamedTuple):
    id: str
    level: str
    versions: dict[int, Check]
    """The check from each minor version on."""
    replaces: str = ""
    """A check of the baseline that says less about the same."""


_STANDARD: Final = (  # in the order of Kubernetes' messages
    _Row("appArmorProfile", BASELINE, {0: baseline.app_armor_profile}),
    _Row("capabilities_baseline", BASELINE, {0: baseline.capabilities}),
    _Row("hostNamespaces", BASELINE, {0: baseline.host_namespaces}),
    _Row("hostPathVolumes", BASELINE, {0: baseline.host_path_volumes}),
    _Row("hostPorts", BASELINE, {0: baseline.host_ports}),
    _Row("hostProbesAndHostLifecycle", BASELINE, {34: baseline.host_probes}),
    _Row("privileged", BASELINE, {0: baseline.privileged}),
    _Row("procMount", BASELINE, {0: baseline.proc_mount}),
    _Row("seLinuxOptions", BASELINE, {
        0: baseline.selinux_options(*_SELINUX), 31: baseline.selinux_options(*_SELINUX, "container_engine_t"),
    }),
    _Row("seccompProfile_baseline", BASELINE, {0: baseline.seccomp_annotations, 19: baseline.seccomp_profile}),
    _Row("sysctls", BASELINE, {
        0: baseline.sysctls(*_SYSCTLS_1_0), 27: baseline.sysctls(*_SYSCTLS_1_27),
        29: baseline.sysctls(*_SYSCTLS_1_29), 32: baseline.sysctls(*_SYSCTLS_1_32),
    }),
    _Row("windowsHostProcess", BASELINE, {0: baseline.windows_host_process}),
    _Row("allowPrivilegeEscalation", RESTRICTED, {
        8: restricted.privilege_escalation, 25: unless_windows(restricted.privilege_escalation),
    }),
    _Row("capabilities_restricted", RESTRICTED, {
        22: restricted.capabilities, 25: unless_windows(restricted.capabilities),
    }, replaces="capabilities_baseline"),
    _Row("restrictedVolumes", RESTRICTED, {0: restricted.volume_types}, replaces="hostPathVolumes"),
    _Row("runAsNonRoot", RESTRICTED, {0: restricted.run_as_non_root}),
    _Row("runAsUser", RESTRICTED, {23: restricted.run_as_user}),
    _Row("seccompProfile_restricted", RESTRICTED, {
        19: restricted.seccomp_profile, 25: unless_windows(restricted.seccomp_profile),
    }, replaces="seccompProfile_baseline"),
)  # fmt: skip
_NEWEST: Final = max(version for row in _STANDARD for version in row.versions)


def violations(standard: LevelVersion, metadata: ObjectMeta, spec: PodSpec) -> list[Violation]:
    """In what a pod, or a template of pods, violates the standard."""
    if standard.level == PRIVILEGED:
        return []
    results = (check(metadata, spec) for check in _checks(standard.level, min(standard.minor, _NEWEST)))
    return [violation for violation in results if violation is not None]


@lru_cache(maxsize=256)
def _checks(level: str, minor: int) -> tuple[Check, ...]:
    rows = [row for row in _STANDARD if min(row.versions) <= minor and level in (RESTRICTED, row.level)]
    replaced = {row.replaces for row in rows}
    return tuple(
        row.versions[max(version for version in row.versions if version <= minor)]
        for row in rows
        if row.id not in replaced
    )
