"""Security contexts as the engine's settings, and what is refused."""

from typing import Any

import pytest

from apimachinery.types import core_v1
from kubelet.runtime import security
from tests.unit.kubelet.records import make_pod


def settings(own: core_v1.SecurityContext | None = None, seccomp: str = "", **of_pod: Any) -> dict[str, Any]:
    pod = make_pod(security_context=core_v1.PodSecurityContext(**of_pod))
    pod.spec.containers[0].security_context = own
    return security.settings(pod, pod.spec.containers[0], seccomp)


LOCAL = core_v1.SeccompProfile(type="Localhost", localhost_profile="strict.json")
RUNTIME_DEFAULT = core_v1.SeccompProfile(type="RuntimeDefault")
UNCONFINED = core_v1.SeccompProfile(type="Unconfined")


def test_nothing_asked_for() -> None:
    host_config = settings()
    assert host_config["SecurityOpt"] == []
    assert not host_config["Privileged"]
    assert "MaskedPaths" not in host_config


@pytest.mark.parametrize(
    ("own", "of_pod", "option"),
    [
        ({"allow_privilege_escalation": False}, {}, "no-new-privileges"),
        ({"seccomp_profile": UNCONFINED}, {"seccomp_profile": LOCAL}, "seccomp=unconfined"),
        ({}, {"seccomp_profile": LOCAL}, "seccomp={}"),
        ({"app_armor_profile": core_v1.AppArmorProfile(type="Unconfined")}, {}, "apparmor=unconfined"),
        ({}, {"se_linux_options": core_v1.SELinuxOptions(level="s0:c1")}, "label=level:s0:c1"),
    ],
)
def test_options(own: dict[str, Any], of_pod: dict[str, Any], option: str) -> None:
    seccomp = "{}" if LOCAL in of_pod.values() else ""
    assert settings(core_v1.SecurityContext(**own), seccomp, **of_pod)["SecurityOpt"] == [option]


@pytest.mark.parametrize(("profile", "options"), [(None, ["seccomp=unconfined"]), (RUNTIME_DEFAULT, [])])
def test_what_names_no_profile_may_be_unconfined(profile: core_v1.SeccompProfile | None, options: list[str]) -> None:
    own = core_v1.SecurityContext(seccomp_profile=profile)
    assert settings(own, security.UNCONFINED)["SecurityOpt"] == options


def test_groups_capabilities_and_an_unmasked_proc() -> None:
    own = core_v1.SecurityContext(
        capabilities=core_v1.Capabilities(add=["CAP_NET_ADMIN"], drop=["all"]), proc_mount="Unmasked"
    )
    host_config = settings(own, supplemental_groups=[7], fs_group=9)
    assert host_config["GroupAdd"] == ["7", "9"]
    assert (host_config["CapAdd"], host_config["CapDrop"]) == (["NET_ADMIN"], ["ALL"])
    assert (host_config["MaskedPaths"], host_config["ReadonlyPaths"]) == ([], [])


@pytest.mark.parametrize(
    ("pod", "own"),
    [
        ({"host_users": False}, {}),
        ({}, {"app_armor_profile": core_v1.AppArmorProfile(type="RuntimeDefault")}),
        ({}, {"windows_options": core_v1.WindowsSecurityContextOptions()}),
        ({}, {"allow_privilege_escalation": False, "privileged": True}),
    ],
)
def test_what_cannot_be_had_is_refused(pod: dict[str, Any], own: dict[str, Any]) -> None:
    made = make_pod(**pod)
    made.spec.containers[0].security_context = core_v1.SecurityContext(**own)
    with pytest.raises(security.Unsupported):
        security.check(made, made.spec.containers[0], apparmor=False)
