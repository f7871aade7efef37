"""Which checks a level of the Pod Security Standards has in which version of Kubernetes."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from apimachinery.types.core_v1 import PodSpec
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.admission.pod_security import checks, restricted
from apiserver.admission.pod_security.checks import Check, Violation
from apiserver.admission.pod_security.levels import LevelVersion
from apiserver.admission.pod_security.restricted import not_in_user_namespace, not_on_windows


class Versions(NamedTuple):
    """The versions of a check, by the minor version of Kubernetes that each came with."""

    checks: Mapping[int, Check]
    overrides: str = ""
    """The check of level baseline whose place it takes."""

    def at(self, version: int) -> Check | None:
        minors = [minor for minor in self.checks if minor <= version]
        return self.checks[max(minors)] if minors else None


BASELINE: Final = {
    "appArmorProfile": Versions({0: checks.app_armor_profile}),
    "capabilities_baseline": Versions({0: checks.capabilities_baseline}),
    "hostNamespaces": Versions({0: checks.host_namespaces}),
    "hostPathVolumes": Versions({0: checks.host_path_volumes}),
    "hostPorts": Versions({0: checks.host_ports}),
    "hostProbesAndHostLifecycle": Versions({34: checks.host_probes_and_lifecycle}),
    "privileged": Versions({0: checks.privileged}),
    "procMount": Versions({0: checks.proc_mount, 35: checks.proc_mount_1_35}),
    "seLinuxOptions": Versions({0: checks.se_linux_options, 31: checks.se_linux_options_1_31}),
    "seccompProfile_baseline": Versions({0: checks.seccomp_annotations, 19: checks.seccomp_profile_baseline}),
    "sysctls": Versions({minor: checks.sysctls(allowed) for minor, allowed in checks.SYSCTLS.items()}),
    "windowsHostProcess": Versions({0: checks.windows_host_process}),
}
RESTRICTED: Final = {
    "allowPrivilegeEscalation": Versions(
        {8: restricted.allow_privilege_escalation, 25: not_on_windows(restricted.allow_privilege_escalation)}
    ),
    "capabilities_restricted": Versions(
        {22: restricted.capabilities_restricted, 25: not_on_windows(restricted.capabilities_restricted)},
        overrides="capabilities_baseline",
    ),
    "procMount_restricted": Versions({35: checks.proc_mount}, overrides="procMount"),
    "restrictedVolumes": Versions({0: restricted.restricted_volumes}, overrides="hostPathVolumes"),
    "runAsNonRoot": Versions(
        {0: restricted.run_as_non_root, 35: not_in_user_namespace(restricted.run_as_non_root)}
    ),
    "runAsUser": Versions({23: restricted.run_as_user, 35: not_in_user_namespace(restricted.run_as_user)}),
    "seccompProfile_restricted": Versions(
        {19: restricted.seccomp_profile_restricted, 25: not_on_windows(restricted.seccomp_profile_restricted)},
        overrides="seccompProfile_baseline",
    ),
}  # fmt: skip


def evaluate(policy: LevelVersion, metadata: ObjectMeta, spec: PodSpec) -> list[Violation]:
    """What a pod, or a template of pods, does that the level forbids; in the order of Kubernetes' messages."""
    violations = (check(metadata, spec) for check in _checks(policy))
    return [violation for violation in violations if violation is not None]


@lru_cache(256)
def _checks(policy: LevelVersion) -> tuple[Check, ...]:
    if policy.level == "privileged":
        return ()
    baseline = {name: check for name, versions in BASELINE.items() if (check := versions.at(policy.version))}
    if policy.level == "baseline":
        return tuple(baseline.values())
    added = {name: check for name, versions in RESTRICTED.items() if (check := versions.at(policy.version))}
    overridden = {RESTRICTED[name].overrides for name in added}
    return (*(check for name, check in baseline.items() if name not in overridden), *added.values())
