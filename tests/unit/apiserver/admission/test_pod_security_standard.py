"""The Pod Security Standards: the smallest pods that each level allows, and for each check those that it forbids."""

from typing import Any

import pytest

from apimachinery import codec
from apimachinery.types.core_v1 import Pod
from apiserver.admission.pod_security.levels import LATEST, Level, LevelVersion
from apiserver.admission.pod_security.standard import BASELINE, RESTRICTED, evaluate

Document = dict[str, Any]
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/a"
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
HARDENED: Document = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
HARDENED_POD: Document = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def plain(containers: list[Document] | None = None, annotations: dict[str, str] | None = None, **spec: Any) -> Document:
    """A pod that says nothing of security but what is given; with ``containers`` by their security contexts."""
    named = [
        {"name": name, "image": "i", **({"securityContext": context} if context else {})}
        for name, context in zip("abc", containers or [{}], strict=False)
    ]
    return {"metadata": {"name": "p", "annotations": annotations or {}}, "spec": {"containers": named, **spec}}


def hardened(more: Document | None = None, of_pod: Document | None = None, **spec: Any) -> Document:
    """The smallest pod that level restricted allows, with ``more`` in its container's security context."""
    return plain([HARDENED | (more or {})], securityContext=HARDENED_POD | (of_pod or {}), **spec)


def violations(document: Document, level: Level, version: int = LATEST) -> list[str]:
    pod = codec.from_builtins(document, Pod)
    return [str(violation) for violation in evaluate(LevelVersion(level, version), pod.metadata, pod.spec)]


@pytest.mark.parametrize("version", [*range(38), LATEST])
def test_every_version_allows_its_smallest_pods(version: int) -> None:
    assert violations(plain([{"privileged": True}], hostNetwork=True), "privileged", version) == []
    assert violations(plain(), "baseline", version) == []
    assert violations(hardened(), "restricted", version) == []


def test_a_pod_that_says_nothing_is_told_all_that_restricted_wants_of_it() -> None:
    assert violations(plain(), "restricted") == [
        'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)',
        'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"])',
        'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)',
        'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")',
    ]


def profile(kind: str, type: str) -> Document:
    return {kind: {"type": type}}


BASELINE_REFUSALS = {
    "appArmorProfile": [
        (
            plain([profile("appArmorProfile", "Unconfined")], {APP_ARMOR: "unconfined"}),
            'forbidden AppArmor profiles (container "a" and annotation must not set AppArmor profile type to '
            f'"Unconfined", "{APP_ARMOR}="unconfined"")',
        ),
        (
            plain(securityContext=profile("appArmorProfile", "Unconfined")),
            'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")',
        ),
        (
            plain(annotations={APP_ARMOR: "unconfined"}),
            f'forbidden AppArmor profile (annotation must not set AppArmor profile type to "{APP_ARMOR}="unconfined"")',
        ),
    ],
    "capabilities_baseline": [
        (
            plain([{"capabilities": {"add": ["NET_RAW", "CHOWN"]}}, {"capabilities": {"add": ["BPF"]}}, {}]),
            'non-default capabilities (containers "a", "b" must not include "BPF", "NET_RAW" in '
            "securityContext.capabilities.add)",
        )
    ],
    "hostNamespaces": [
        (
            plain(hostNetwork=True, hostPID=True, hostIPC=True),
            "host namespaces (hostIPC=true, hostNetwork=true, hostPID=true)",
        ),
        (plain(hostPID=True), "host namespaces (hostPID=true)"),
    ],
    "hostPathVolumes": [
        (
            plain(volumes=[{"name": name, "hostPath": {"path": "/"}} for name in ("v", "w")] + [{"name": "x"}]),
            'hostPath volumes (volumes "v", "w")',
        )
    ],
    "hostPorts": [
        (
            {
                "metadata": {},
                "spec": {
                    "containers": [{"name": "a", "ports": [{"containerPort": 1, "hostPort": 80}]}],
                    "initContainers": [{"name": "i", "ports": [{"containerPort": 1, "hostPort": 9}, {}]}],
                },
            },
            'hostPort (containers "i", "a" use hostPorts 80, 9)',
        )
    ],
    "hostProbesAndHostLifecycle": [
        (
            {
                "metadata": {},
                "spec": {
                    "containers": [
                        {
                            "name": "a",
                            "livenessProbe": {"httpGet": {"host": "10.0.0.1", "port": 1}},
                            "lifecycle": {"preStop": {"tcpSocket": {"host": "h", "port": 1}}},
                        }
                    ]
                },
            },
            'probe or lifecycle host (container "a" uses probe or lifecycle hosts "10.0.0.1", "h")',
        )
    ],
    "privileged": [
        (
            plain([{"privileged": True}, {"privileged": False}]),
            'privileged (container "a" must not set securityContext.privileged=true)',
        ),
        (
            {"metadata": {}, "spec": {"ephemeralContainers": [{"name": "e", "securityContext": {"privileged": True}}]}},
            'privileged (container "e" must not set securityContext.privileged=true)',
        ),
    ],
    "procMount": [
        (
            plain([{"procMount": "Unmasked"}]),
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        )
    ],
    "seLinuxOptions": [
        (
            plain(
                [{"seLinuxOptions": {"type": "bar"}}, {"seLinuxOptions": {"role": "r"}}],
                securityContext={"seLinuxOptions": {"type": "foo", "user": "u"}},
            ),
            'seLinuxOptions (pod and containers "a", "b" set forbidden securityContext.seLinuxOptions: types "bar", '
            '"foo"; user may not be set; role may not be set)',
        ),
        (
            plain(securityContext={"seLinuxOptions": {"user": "u"}}),
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: user may not be set)",
        ),
    ],
    "seccompProfile_baseline": [
        (
            plain(
                [profile("seccompProfile", "Unconfined")], securityContext={"seccompProfile": {"type": "Unconfined"}}
            ),
            'seccompProfile (pod and container "a" must not set securityContext.seccompProfile.type to "Unconfined")',
        )
    ],
    "sysctls": [
        (
            plain(securityContext={"sysctls": [{"name": "b"}, {"name": "net.ipv4.tcp_rmem"}, {"name": "a"}]}),
            "forbidden sysctls (b, a)",
        )
    ],
    "windowsHostProcess": [
        (
            plain(
                [{"windowsOptions": {"hostProcess": True}}], securityContext={"windowsOptions": {"hostProcess": True}}
            ),
            'hostProcess (pod and container "a" must not set securityContext.windowsOptions.hostProcess=true)',
        )
    ],
}
RESTRICTED_REFUSALS = {
    "allowPrivilegeEscalation": [
        (
            hardened({"allowPrivilegeEscalation": True}),
            'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)',
        )
    ],
    "capabilities_restricted": [
        (
            hardened({"capabilities": {"add": ["CHOWN", "NET_BIND_SERVICE"], "drop": ["FOO"]}}),
            'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; container '
            '"a" must not include "CHOWN" in securityContext.capabilities.add)',
        )
    ],
    "procMount_restricted": [
        (
            hardened({"procMount": "Unmasked"}, hostUsers=False),
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        )
    ],
    "restrictedVolumes": [
        (
            hardened(volumes=[{"name": "v", "nfs": {}}, {"name": "w", "hostPath": {"path": "/"}}, {"name": "x"}]),
            'restricted volume types (volumes "v", "w", "x" use restricted volume types "hostPath", "nfs", "unknown")',
        ),
        (
            hardened(volumes=[{"name": "v", "gcePersistentDisk": {"pdName": "d"}}]),
            'restricted volume types (volume "v" uses restricted volume type "gcePersistentDisk")',
        ),
    ],
    "runAsNonRoot": [
        (
            hardened({"runAsNonRoot": False}, {"runAsNonRoot": False}),
            'runAsNonRoot != true (pod and container "a" must not set securityContext.runAsNonRoot=false)',
        )
    ],
    "runAsUser": [
        (
            hardened({"runAsUser": 0}, {"runAsUser": 0}),
            'runAsUser=0 (pod and container "a" must not set runAsUser=0)',
        )
    ],
    "seccompProfile_restricted": [
        (
            hardened(of_pod={"seccompProfile": None}),
            'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
            '"Localhost")',
        ),
        (
            hardened(profile("seccompProfile", "Unconfined")),
            'seccompProfile (container "a" must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
    ],
}


def rows(refusals: dict[str, list[tuple[Document, str]]]) -> list[Any]:
    return [
        pytest.param(document, says, id=f"{check}-{i}")
        for check, cases in refusals.items()
        for i, (document, says) in enumerate(cases)
    ]


@pytest.mark.parametrize(("document", "says"), rows(BASELINE_REFUSALS))
def test_baseline_forbids(document: Document, says: str) -> None:
    assert violations(document, "baseline") == [says]
    assert violations(document, "privileged") == []


@pytest.mark.parametrize(("document", "says"), rows(RESTRICTED_REFUSALS))
def test_restricted_forbids(document: Document, says: str) -> None:
    assert violations(document, "restricted") == [says]


def test_each_check_is_tried() -> None:
    assert list(BASELINE_REFUSALS) == list(BASELINE)
    assert list(RESTRICTED_REFUSALS) == list(RESTRICTED)


@pytest.mark.parametrize(
    ("document", "level"),
    [
        (plain(annotations={APP_ARMOR: "localhost/x"}, securityContext={"appArmorProfile": {"type": "Localhost"}}),
         "baseline"),
        (plain([{"capabilities": {"add": ["MKNOD"]}}]), "baseline"),
        (plain(securityContext={"seLinuxOptions": {"type": "container_engine_t", "level": "l"}}), "baseline"),
        (plain([{"procMount": "Unmasked"}], hostUsers=False), "baseline"),
        (hardened({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}), "restricted"),
        (hardened(volumes=[{"name": "v", "emptyDir": {}}, {"name": "w", "image": {"reference": "r"}}]), "restricted"),
        (hardened({"runAsUser": 0}, {"runAsUser": 0, "runAsNonRoot": None}, hostUsers=False), "restricted"),
        (plain([{"runAsNonRoot": True}], os={"name": "windows"}), "restricted"),
        (plain([HARDENED | HARDENED_POD]), "restricted"),
    ],
)  # fmt: skip
def test_what_is_allowed_although_it_looks_risky(document: Document, level: Level) -> None:
    assert violations(document, level) == []


@pytest.mark.parametrize(
    ("document", "level", "refuse"),
    [
        (hardened({"allowPrivilegeEscalation": None}), "restricted", range(8, 38)),
        (hardened({"capabilities": None}), "restricted", range(22, 38)),
        (hardened(of_pod={"seccompProfile": None}), "restricted", range(19, 38)),
        (hardened({"runAsUser": 0}), "restricted", range(23, 38)),
        (hardened({"runAsUser": 0}, hostUsers=False), "restricted", range(23, 35)),
        (hardened({"allowPrivilegeEscalation": None}, os={"name": "windows"}), "restricted", range(8, 25)),
        (plain(annotations={SECCOMP: "unconfined"}), "baseline", range(19)),
        (plain(securityContext={"seccompProfile": {"type": "Unconfined"}}), "baseline", range(19, 38)),
        (plain(securityContext={"seLinuxOptions": {"type": "container_engine_t"}}), "baseline", range(31)),
        (plain(securityContext={"sysctls": [{"name": "net.ipv4.ip_local_reserved_ports"}]}), "baseline", range(27)),
        (plain(securityContext={"sysctls": [{"name": "net.ipv4.tcp_keepalive_time"}]}), "baseline", range(29)),
        (plain(securityContext={"sysctls": [{"name": "net.ipv4.tcp_wmem"}]}), "baseline", range(32)),
        (BASELINE_REFUSALS["hostProbesAndHostLifecycle"][0][0], "baseline", range(34, 38)),
        (plain([{"procMount": "Unmasked"}], hostUsers=False), "baseline", range(35)),
        (hardened({"procMount": "Unmasked"}, hostUsers=False), "restricted", range(38)),
    ],
)
def test_which_versions_forbid_it(document: Document, level: Level, refuse: range) -> None:
    assert [minor for minor in range(38) if violations(document, level, minor)] == list(refuse)


def test_what_both_levels_check_is_said_once() -> None:
    document = hardened({"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}})
    assert len(violations(document, "restricted")) == 1
    assert violations(document, "restricted", 21) == [
        'non-default capabilities (container "a" must not include "SYS_ADMIN" in securityContext.capabilities.add)'
    ]
