"""What a kubelet refuses instead of running a container as something else than its spec says."""

import pytest

from apimachinery.types import core_v1 as v1
from kubelet.containers import unsupported
from kubelet.runtime.security import Unsupported
from tests.unit.kubelet.records import make_pod

FILE_KEY = v1.EnvVarSource(file_key_ref=v1.FileKeySelector(key="k", path="p", volume_name="v"))


def test_an_ordinary_container_is_accepted() -> None:
    pod = make_pod()
    pod.spec.containers[0].volume_mounts = [v1.VolumeMount(name="v", mount_path="/v", recursive_read_only="IfPossible")]
    for handler in ("", "runc"):
        unsupported.check(pod, pod.spec.containers[0], handler)


@pytest.mark.parametrize(
    ("container", "spec", "handler", "reason"),
    [
        ({}, {}, "gvisor", 'no runtime for "gvisor" is configured'),
        ({}, {"resources": v1.ResourceRequirements(limits={"cpu": "1"})}, "", "spec.resources: "),
        ({}, {"resource_claims": [v1.PodResourceClaim(name="gpu")]}, "", "resourceClaims: "),
        ({"resources": v1.ResourceRequirements(claims=[v1.ResourceClaim(name="g")])}, {}, "", "resourceClaims: "),
        ({"volume_devices": [v1.VolumeDevice(name="v", device_path="/dev/x")]}, {}, "", "volumeDevices: "),
        ({"restart_policy_rules": [v1.ContainerRestartRule(action="Restart")]}, {}, "", "restartPolicyRules: "),
        (
            {"volume_mounts": [v1.VolumeMount(name="v", mount_path="/v", recursive_read_only="Enabled")]},
            {},
            "",
            "volumeMounts: /v: recursive",
        ),
        ({"env": [v1.EnvVar(name="A", value_from=FILE_KEY)]}, {}, "", "env: A: fileKeyRef"),
    ],
)
def test_what_cannot_be_brought_about_is_named(
    container: dict[str, object], spec: dict[str, object], handler: str, reason: str
) -> None:
    pod = make_pod(**spec)
    for name, value in container.items():
        setattr(pod.spec.containers[0], name, value)
    with pytest.raises(Unsupported) as refused:
        unsupported.check(pod, pod.spec.containers[0], handler)
    assert reason in str(refused.value)
