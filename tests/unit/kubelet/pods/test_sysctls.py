"""Which kernel parameters a pod may set."""

from typing import Any

import pytest

from apimachinery.types import core_v1
from kubelet.pods.sysctls import rejection
from tests.unit.kubelet.records import make_pod


@pytest.mark.parametrize(
    ("name", "allowed", "spec", "why"),
    [
        ("net.ipv4.tcp_syncookies", (), {}, ""),
        ("net/ipv4/tcp_syncookies", (), {}, ""),
        ("kernel.msgmax", (), {}, 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        ("kernel.msgmax", ("kernel.msg*",), {}, ""),
        ("kernel.sem", ("kernel.msg*",), {}, 'forbidden sysctl: "kernel.sem" not allowlisted'),
        ("net.core.somaxconn", ("net.core.somaxconn",), {}, ""),
        ("net.ipv4.tcp_syncookies", (), {"host_network": True}, "not allowed with host net enabled"),
        ("kernel.shm_rmid_forced", (), {"host_ipc": True}, "not allowed with host ipc enabled"),
    ],
)
def test_sysctls(name: str, allowed: tuple[str, ...], spec: dict[str, Any], why: str) -> None:
    context = core_v1.PodSecurityContext(sysctls=[core_v1.Sysctl(name=name, value="1")])
    rejected = rejection(make_pod(security_context=context, **spec), allowed)
    if not why:
        assert rejected is None
    else:
        assert rejected is not None
        assert rejected.reason == "SysctlForbidden"
        assert why in rejected.message


def test_nothing_asked_for() -> None:
    assert rejection(make_pod(), ()) is None
