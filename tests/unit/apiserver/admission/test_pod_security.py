"""The pod security standards as tables: the least that conforms, and for each check what does not, in which words."""

from typing import Any

import pytest

from apimachinery import codec
from apimachinery.types.core_v1 import Pod
from apiserver.admission.pod_security.levels import LATEST, LevelVersion, Policy, policy_of
from apiserver.admission.pod_security.plugin import is_significant, tightens
from apiserver.admission.pod_security.standard import violations

HARDENED = {
    "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip
APPARMOR = "container.apparmor.security.beta.kubernetes.io/c"
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"


def container(name: str = "c", context: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "i", **({"securityContext": context} if context is not None else {}), **fields}


def pod(*containers: dict[str, Any], annotations: dict[str, str] | None = None, **spec: Any) -> Pod:
    document = {"metadata": {"name": "p", "annotations": annotations or {}}, "spec": {"containers": containers, **spec}}
    return codec.from_builtins(document, Pod)


def hardened(**fields: Any) -> dict[str, Any]:
    return container(context=HARDENED, **fields)


def bad(subject: Pod, level: str, version: str = LATEST) -> str:
    return ", ".join(map(str, violations(LevelVersion(level, version), subject.metadata, subject.spec)))


def windows(**context: Any) -> dict[str, Any]:
    return {"securityContext": {"windowsOptions": context}}


@pytest.mark.parametrize("version", [LATEST, *(f"v1.{minor}" for minor in range(36))])
def test_the_least_that_conforms_does_so_in_every_version(version: str) -> None:
    assert bad(pod(container()), "baseline", version) == ""
    assert bad(pod(hardened(), initContainers=[container("i", HARDENED)]), "restricted", version) == ""
    assert bad(pod(container(context={"privileged": True}), hostNetwork=True), "privileged", version) == ""


BASELINE = [
    (pod(container(), securityContext={"appArmorProfile": {"type": "Unconfined"}}),
     'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")'),
    (pod(container(context={"appArmorProfile": {"type": "Unconfined"}}), annotations={APPARMOR: "unconfined"}),
     f'forbidden AppArmor profiles (container "c" and annotation must not set AppArmor profile type to "Unconfined", '
     f'"{APPARMOR}="unconfined"")'),
    (pod(container(context={"capabilities": {"add": ["SYS_ADMIN", "NET_RAW", "CHOWN"]}})),
     'non-default capabilities (container "c" must not include "NET_RAW", "SYS_ADMIN" in '
     "securityContext.capabilities.add)"),
    (pod(container(), hostNetwork=True, hostPID=True, hostIPC=True),
     "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)"),
    (pod(container(), volumes=[{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "hostPath": {"path": "/"}}]),
     'hostPath volumes (volumes "v", "w")'),
    (pod(container("a", ports=[{"containerPort": 1, "hostPort": 80}]), container("b", ports=[{"containerPort": 1}])),
     'hostPort (container "a" uses hostPort 80)'),
    (pod(container("a", ports=[{"containerPort": 1, "hostPort": 80}]),
         container("b", ports=[{"containerPort": 1, "hostPort": 81}])),
     'hostPort (containers "a", "b" use hostPorts 80, 81)'),
    (pod(container(context={"privileged": True}), initContainers=[container("i", {"privileged": True})],
         ephemeralContainers=[container("e", {"privileged": True})]),
     'privileged (containers "i", "c", "e" must not set securityContext.privileged=true)'),
    (pod(container(context={"procMount": "Unmasked"})),
     'procMount (container "c" must not set securityContext.procMount to "Unmasked")'),
    (pod(container(context={"seLinuxOptions": {"type": "spc_t", "user": "u"}}),
         securityContext={"seLinuxOptions": {"role": "r"}}),
     'seLinuxOptions (pod and container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not '
     "be set; role may not be set)"),
    (pod(container(context={"seccompProfile": {"type": "Unconfined"}}),
         securityContext={"seccompProfile": {"type": "Unconfined"}}),
     'seccompProfile (pod and container "c" must not set securityContext.seccompProfile.type to "Unconfined")'),
    (pod(container(), securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"},
                                                   {"name": "net.ipv4.tcp_rmem", "value": "1"}]}),
     "forbidden sysctls (kernel.msgmax)"),
    (pod({**container(), **windows(hostProcess=True)}, **windows(hostProcess=True)),
     'hostProcess (pod and container "c" must not set securityContext.windowsOptions.hostProcess=true)'),
]  # fmt: skip


@pytest.mark.parametrize(("subject", "words"), BASELINE)
def test_what_the_baseline_forbids(subject: Pod, words: str) -> None:
    assert bad(subject, "baseline") == words


RESTRICTED = [
    ({"allowPrivilegeEscalation": None},
     'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)'),
    ({"allowPrivilegeEscalation": True},
     'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)'),
    ({"capabilities": None},
     'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"])'),
    ({"capabilities": {"drop": ["CHOWN"], "add": ["NET_BIND_SERVICE", "CHOWN"]}},
     'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]; container "c" must '
     'not include "CHOWN" in securityContext.capabilities.add)'),
    ({"runAsNonRoot": None},
     'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)'),
    ({"runAsNonRoot": False},
     'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)'),
    ({"runAsUser": 0}, 'runAsUser=0 (container "c" must not set runAsUser=0)'),
    ({"seccompProfile": None},
     'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
     '"Localhost")'),
    ({"seccompProfile": {"type": "Unconfined"}},
     'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")'),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), RESTRICTED)
def test_what_is_forbidden_where_pods_are_restricted(change: dict[str, Any], words: str) -> None:
    subject = pod(
        container(context={name: value for name, value in {**HARDENED, **change}.items() if value is not None})
    )
    assert bad(subject, "restricted") == words
    if "Unconfined" not in words:
        assert bad(subject, "baseline") == ""


@pytest.mark.parametrize(
    "source",
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"],
)
def test_volumes_that_do_not_reach_the_node_are_unrestricted(source: str) -> None:
    assert bad(pod(hardened(), volumes=[{"name": "v", source: {}}]), "restricted") == ""


def test_other_volumes_are_restricted() -> None:
    volumes = [
        {"name": "a", "nfs": {}},
        {"name": "b", "hostPath": {"path": "/"}},
        {"name": "c", "scaleIO": {}},
        {"name": "d"},
    ]
    assert bad(pod(hardened(), volumes=volumes), "restricted") == (
        'restricted volume types (volumes "a", "b", "c", "d" use restricted volume types "hostPath", "nfs", "scaleIO", '
        '"unknown")'
    )
    assert bad(pod(hardened(), volumes=volumes[:1]), "restricted") == (
        'restricted volume types (volume "a" uses restricted volume type "nfs")'
    )


def test_what_the_pod_says_counts_for_containers_that_say_nothing() -> None:
    context = {"runAsNonRoot": True, "seccompProfile": {"type": "Localhost", "localhostProfile": "p"}}
    own = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert bad(pod(container(context=own), securityContext=context), "restricted") == ""
    assert bad(pod(container(context={**own, "runAsNonRoot": False}), securityContext=context), "restricted") == (
        'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)'
    )


def test_a_bare_pod_is_told_all_at_once() -> None:
    assert bad(pod(container()), "restricted") == (
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )


def sysctl(name: str) -> Pod:
    return pod(container(), securityContext={"sysctls": [{"name": name, "value": "1"}]})


HOST_PROBE = container(
    livenessProbe={"httpGet": {"port": 1, "host": "h"}}, lifecycle={"preStop": {"tcpSocket": {"host": "g"}}}
)


@pytest.mark.parametrize(
    ("level", "subject", "before", "since"),
    [
        ("restricted", pod(hardened(), **windows(runAsUserName="u")), True, "v1.0"),
        ("restricted", pod(container(context={**HARDENED, "allowPrivilegeEscalation": True})), False, "v1.8"),
        ("restricted", pod(container(context={**HARDENED, "capabilities": {}})), False, "v1.22"),
        ("restricted", pod(container(context={**HARDENED, "runAsUser": 0})), False, "v1.23"),
        ("baseline", sysctl("net.ipv4.ip_local_reserved_ports"), True, "v1.27"),
        ("baseline", sysctl("net.ipv4.tcp_keepalive_time"), True, "v1.29"),
        ("baseline", sysctl("net.ipv4.tcp_wmem"), True, "v1.32"),
        ("baseline", pod(container(context={"seLinuxOptions": {"type": "container_engine_t"}})), True, "v1.31"),
        ("baseline", pod(container(), annotations={SECCOMP: "unconfined"}), True, "v1.19"),
        ("baseline", pod(container(context={"seccompProfile": {"type": "Unconfined"}})), False, "v1.19"),
        ("baseline", pod(HOST_PROBE), False, "v1.34"),
    ],
)
def test_a_pinned_version_is_that_of_its_time(level: str, subject: Pod, before: bool, since: str) -> None:
    """``before``: whether the pod violated the versions before, and not after; otherwise the other way round."""
    minor = int(since.removeprefix("v1."))
    if minor:
        assert bool(bad(subject, level, f"v1.{minor - 1}")) == before
    assert bool(bad(subject, level, since)) == (not before)


def test_linux_settings_are_not_asked_of_windows_pods() -> None:
    subject = pod(container(context={"runAsNonRoot": True}), os={"name": "windows"})
    assert bad(subject, "restricted", "v1.25") == ""
    assert "seccompProfile" in bad(subject, "restricted", "v1.24")


def labels(**values: str) -> dict[str, str]:
    return {f"pod-security.kubernetes.io/{name.replace('_', '-')}": value for name, value in values.items()}


def test_labels_say_what_the_defaults_do_not() -> None:
    defaults = Policy(warn=LevelVersion("baseline", "v1.20"))
    policy, faults = policy_of({"a": "b", **labels(enforce="restricted", enforce_version="v1.25")}, defaults)
    assert (policy, faults) == (Policy(enforce=LevelVersion("restricted", "v1.25"), warn=defaults.warn), [])
    assert policy_of(None, defaults) == (defaults, [])


@pytest.mark.parametrize(
    ("label", "value", "fault"),
    [
        ("enforce", "strict", 'Invalid value: "strict": must be one of privileged, baseline, restricted'),
        ("warn", "", 'Invalid value: "": must be one of privileged, baseline, restricted'),
        ("audit_version", "1.25", 'Invalid value: "1.25": must be "latest" or "v1.x"'),
        ("enforce_version", "v1.01", 'Invalid value: "v1.01": must be "latest" or "v1.x"'),
    ],
)
def test_labels_that_mean_nothing(label: str, value: str, fault: str) -> None:
    policy, faults = policy_of(labels(**{label: value}), Policy())
    name = f"pod-security.kubernetes.io/{label.replace('_', '-')}"
    assert [str(each) for each in faults] == [f"metadata.labels[{name}]: {fault}"]
    assert policy.enforce.level == ("restricted" if label == "enforce" else "privileged")
    assert policy.warn.level == "privileged"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (("baseline", "latest"), ("restricted", "latest"), True),
        (("restricted", "latest"), ("baseline", "latest"), False),
        (("restricted", "v1.20"), ("baseline", "latest"), True),
        (("restricted", "latest"), ("privileged", "v1.1"), False),
        (("baseline", "latest"), ("baseline", "latest"), False),
    ],
)
def test_when_pods_that_exist_are_looked_at_again(old: tuple[str, str], new: tuple[str, str], expected: bool) -> None:
    assert tightens(LevelVersion(*new), LevelVersion(*old)) == expected


def test_which_updates_of_pods_are_judged() -> None:
    before = pod(container())
    assert not is_significant(pod(container(), annotations={"a": "b"}), before)
    assert not is_significant(pod(container(), activeDeadlineSeconds=1), before)
    assert is_significant(pod({**container(), "image": "other"}), before)
    assert is_significant(pod(container(), ephemeralContainers=[container("e")]), before)


def test_a_policy_names_the_modes_that_say_something() -> None:
    policy = Policy(enforce=LevelVersion("baseline"), warn=LevelVersion("restricted", "v1.30"))
    assert str(policy) == "enforce=baseline:latest, warn=restricted:v1.30"
    assert str(Policy()) == ""
