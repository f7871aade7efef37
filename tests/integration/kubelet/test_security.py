"""Security contexts on a real engine: what a container gets, and the error when it cannot get it."""

import base64
import json
from typing import Any

import pytest

from apimachinery.types import core_v1, meta_v1, node_v1
from kube_client import Client
from tests.integration.kubelet.cluster import Cluster
from tests.integration.kubelet.pods import Pods, container, container_id, waits_for
from tests.integration.kubelet.test_pods import run_in


@pytest.fixture
def pods(client: Client, namespace: str, node: core_v1.Node) -> Pods:
    return Pods(client, namespace)


def own(**fields: Any) -> core_v1.Container:
    return container(security_context=core_v1.SecurityContext(**fields))


async def shell(pods: Pods, cluster: Cluster, script: str, spec: core_v1.Container, **pod: Any) -> str:
    """What a command in the pod's container says, errors too."""
    started = await pods.running("p", spec, **pod)
    return run_in(cluster, container_id(started), "sh", "-c", f"{script} 2>&1")


async def test_users_and_groups(pods: Pods, cluster: Cluster) -> None:
    of_pod = core_v1.PodSecurityContext(
        run_as_user=1000, run_as_group=2000, supplemental_groups=[3000], fs_group=4000, run_as_non_root=True
    )
    output = await shell(pods, cluster, "id -u; id -g; id -G", own(run_as_user=1001), security_context=of_pod)
    uid, gid, groups = output.splitlines()
    assert (uid, gid) == ("1001", "2000")  # the container's own wins over the pod's
    assert {"2000", "3000", "4000"} <= set(groups.split())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"run_as_non_root": True}, "container has runAsNonRoot and image will run as root (pod: "),
        ({"run_as_non_root": True, "run_as_user": 0}, "container's runAsUser breaks non-root policy (pod: "),
    ],
)
async def test_root_where_it_is_not_allowed(pods: Pods, fields: dict[str, Any], message: str) -> None:
    await pods.create("p", own(**fields))
    started = await pods.until("p", waits_for("CreateContainerConfigError"))
    waiting = (started.status.container_statuses or [])[0].state.waiting
    assert waiting is not None
    assert (waiting.message or "").startswith(message)
    event = await pods.event(started, "Failed", message)
    assert event.type == "Warning"


STATUS = "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr '\\t' ' '"
NET_RAW, SYS_TIME, CHOWN = 1 << 13, 1 << 25, 1


def values(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


async def test_capabilities(pods: Pods, cluster: Cluster) -> None:
    asked = core_v1.Capabilities(add=["SYS_TIME"], drop=["NET_RAW"])
    capabilities = int(values(await shell(pods, cluster, STATUS, own(capabilities=asked)))["CapEff"], 16)
    assert capabilities & SYS_TIME
    assert not capabilities & NET_RAW
    assert capabilities & CHOWN


async def test_no_capability_at_all(pods: Pods, cluster: Cluster) -> None:
    none = own(capabilities=core_v1.Capabilities(drop=["ALL"]), allow_privilege_escalation=False)
    status = values(await shell(pods, cluster, STATUS, none))
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"] == "1"


async def test_a_read_only_root(pods: Pods, cluster: Cluster) -> None:
    volume = core_v1.Volume(name="v", empty_dir=core_v1.EmptyDirVolumeSource())
    spec = own(read_only_root_filesystem=True)
    spec.volume_mounts = [core_v1.VolumeMount(name="v", mount_path="/v")]
    output = await shell(pods, cluster, "touch /v/ok && echo written; touch /no", spec, volumes=[volume])
    assert output.startswith("written\n")
    assert "Read-only file system" in output


@pytest.mark.parametrize(("type", "mode"), [("RuntimeDefault", "2"), ("Unconfined", "0")])
async def test_seccomp(pods: Pods, cluster: Cluster, type: str, mode: str) -> None:
    profile = core_v1.SeccompProfile(type=type)
    assert values(await shell(pods, cluster, STATUS, own(seccomp_profile=profile)))["Seccomp"] == mode


async def test_a_seccomp_profile_of_the_node(pods: Pods, cluster: Cluster) -> None:
    folder = cluster.root / "seccomp/profiles"
    folder.mkdir(parents=True)
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    folder.joinpath("no-mkdir.json").write_text(json.dumps(profile))
    asked = core_v1.SeccompProfile(type="Localhost", localhost_profile="profiles/no-mkdir.json")
    output = await shell(pods, cluster, "mkdir /d; touch /f && echo touched", own(seccomp_profile=asked))
    assert "mkdir" in output
    assert "not permitted" in output
    assert output.endswith("touched\n")
    lost = core_v1.SeccompProfile(type="Localhost", localhost_profile="nowhere.json")
    pod = await pods.create("lost", own(seccomp_profile=lost))
    await pods.until("lost", waits_for("CreateContainerConfigError"))
    await pods.event(pod, "Failed", "seccomp profile 'nowhere.json' cannot be read: No such file or directory")


async def test_apparmor_is_refused_where_there_is_none(pods: Pods, cluster: Cluster) -> None:
    profile = core_v1.AppArmorProfile(type="RuntimeDefault")
    pod = await pods.create("p", own(app_armor_profile=profile))
    await pods.until("p", waits_for("CreateContainerConfigError"))
    await pods.event(pod, "Failed", "Cannot enforce AppArmor: AppArmor is not enabled on the host")


async def test_a_user_namespace_is_refused(pods: Pods) -> None:
    pod = await pods.create("p", host_users=False)
    await pods.until("p", waits_for("CreateContainerConfigError"))
    await pods.event(pod, "Failed", "hostUsers: false: the container engine has no user namespace per pod")


async def test_privileged(pods: Pods, cluster: Cluster) -> None:
    """It gets all power; or the machine does not let the engine grant it, and an event says so."""
    pod = await pods.create("p", own(privileged=True))

    def settled(pod: core_v1.Pod) -> bool:
        state = (pod.status.container_statuses or [core_v1.ContainerStatus()])[0]
        return bool(state.state.running or state.last_state.terminated or state.state.terminated)

    started = await pods.until("p", settled)
    with cluster.docker() as engine:
        label = [f"io.kubernetes.pod.uid={started.metadata.uid}", "io.kubernetes.container.name=main"]
        listed = engine.containers(all=True, filters={"label": label})[0]
        assert engine.inspect_container(listed["Id"])["HostConfig"]["Privileged"] is True
    status = (started.status.container_statuses or [])[0]
    if status.state.running is None:
        ended = status.last_state.terminated or status.state.terminated
        assert ended is not None
        assert ended.reason == "ContainerCannotRun"
        assert ended.message
        await pods.event(pod, "Failed", "Error: ")
    else:
        assert int(values(run_in(cluster, container_id(started), "sh", "-c", STATUS))["CapEff"], 16) & SYS_TIME


@pytest.mark.parametrize(("proc_mount", "masked"), [("Default", True), ("Unmasked", False)])
async def test_what_proc_hides(pods: Pods, cluster: Cluster, proc_mount: str, masked: bool) -> None:
    """Over parts of /proc something else is mounted, or nothing is."""
    output = await shell(pods, cluster, "grep -c ' /proc/' /proc/self/mountinfo", own(proc_mount=proc_mount))
    assert (int(output) > 3) == masked


async def test_a_device_of_the_node(pods: Pods, cluster: Cluster) -> None:
    source = core_v1.HostPathVolumeSource(path="/dev/urandom", type="CharDevice")
    spec = container(volume_mounts=[core_v1.VolumeMount(name="d", mount_path="/dev/dice")])
    volume = core_v1.Volume(name="d", host_path=source)
    assert await shell(pods, cluster, "head -c 5 /dev/dice | wc -c", spec, volumes=[volume]) == "5\n"


async def test_a_context_of_the_pod_s_own_for_a_secret(pods: Pods, cluster: Cluster, client: Client) -> None:
    """A file that only its group may read is readable by who has that group."""
    secret = core_v1.Secret(data={"k": base64.b64encode(b"hush").decode()})
    secret.metadata.name, secret.metadata.namespace = "s", pods.namespace
    await client.resource(core_v1.Secret).create(secret)
    volume = core_v1.Volume(name="s", secret=core_v1.SecretVolumeSource(secret_name="s", default_mode=0o440))
    spec = own(run_as_user=1000)
    spec.volume_mounts = [core_v1.VolumeMount(name="s", mount_path="/s")]
    of_pod = core_v1.PodSecurityContext(fs_group=4000)
    assert await shell(pods, cluster, "cat /s/k", spec, volumes=[volume], security_context=of_pod) == "hush"


async def test_only_the_engine_s_own_runtime_is_a_runtime_class(pods: Pods, client: Client, namespace: str) -> None:
    classes = client.resource(node_v1.RuntimeClass)
    for name, handler in (("ordinary", "runc"), ("sandboxed", "gvisor")):
        metadata = meta_v1.ObjectMeta(name=f"{name}-{namespace}")
        await classes.create(node_v1.RuntimeClass(metadata=metadata, handler=handler))
    pod = await pods.running("ordinary", runtime_class_name=f"ordinary-{namespace}", hostname_override="mail.example")
    assert pod.spec.hostname_override == "mail.example"
    await pods.create("sandboxed", runtime_class_name=f"sandboxed-{namespace}")
    refused = await pods.until("sandboxed", waits_for("CreateContainerConfigError"))
    await pods.event(refused, "Failed", 'failed to get sandbox runtime: no runtime for "gvisor" is configured')
