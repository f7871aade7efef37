"""What is asked of the engine and read back from it, without an engine."""

from pathlib import Path
from typing import Any

import pytest

from apimachinery.types import core_v1
from kubelet.runtime import Defaults, Mount, RunContainerOptions, config, records
from kubelet.runtime.images import is_valid
from tests.unit.kubelet.records import make_pod, sandbox

DEFAULTS = Defaults(network="peapod", pause_image="pause:1")


def request(
    pod: core_v1.Pod | None = None, resolved: RunContainerOptions | None = None, **fields: Any
) -> dict[str, Any]:
    spec = core_v1.Container(name="main", image="app:1", **fields)
    return config.container(pod or make_pod(), spec, 3, sandbox(), resolved or RunContainerOptions(), DEFAULTS)


def test_a_sandbox_owns_network_and_ipc() -> None:
    pod = make_pod()
    pod.spec.containers[0].ports = [core_v1.ContainerPort(container_port=80, host_port=8080)]
    made = config.sandbox(pod, 0, "p", -998, DEFAULTS)
    host = made["HostConfig"]
    assert (host["NetworkMode"], host["IpcMode"], made["Hostname"]) == ("peapod", "shareable", "p")
    assert host["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
    assert host["RestartPolicy"] == {"Name": "no"}
    assert host["LogConfig"]["Config"] == {"max-size": "10485760", "max-file": "5"}


def test_a_sandbox_on_the_host_network_has_no_name_and_no_ports_of_its_own() -> None:
    made = config.sandbox(make_pod(host_network=True, host_ipc=True, host_pid=True), 0, "n", 0, DEFAULTS)
    assert "Hostname" not in made
    assert {made["HostConfig"][key] for key in ("NetworkMode", "IpcMode", "PidMode")} == {"host"}


def test_a_container_joins_its_sandbox() -> None:
    host = request()["HostConfig"]
    assert host["NetworkMode"] == host["IpcMode"] == "container:POD-0"
    assert host["PidMode"] == ""
    assert request(make_pod(share_process_namespace=True))["HostConfig"]["PidMode"] == "container:POD-0"


def test_a_command_replaces_the_image_s_and_arguments_alone_do_not() -> None:
    made = request(resolved=RunContainerOptions(args=["x"]))
    assert (made["Entrypoint"], made["Cmd"]) == (None, ["x"])


def test_resources_become_shares_quota_and_memory() -> None:
    resources = core_v1.ResourceRequirements(limits={"cpu": "1500m", "memory": "64Mi"}, requests={"cpu": "250m"})
    host = request(resources=resources)["HostConfig"]
    assert (host["CpuShares"], host["CpuQuota"], host["CpuPeriod"]) == (256, 150_000, 100_000)
    assert host["Memory"] == host["MemorySwap"] == 64 << 20
    assert request()["HostConfig"]["CpuShares"] == 2


def test_security_context() -> None:
    security = core_v1.SecurityContext(
        privileged=True,
        read_only_root_filesystem=True,
        allow_privilege_escalation=False,
        capabilities=core_v1.Capabilities(add=["NET_ADMIN"], drop=["all"]),
    )
    pod = make_pod(security_context=core_v1.PodSecurityContext(fs_group=7, supplemental_groups=[5]))
    host = request(pod, security_context=security)["HostConfig"]
    assert host["Privileged"]
    assert host["ReadonlyRootfs"]
    assert (host["CapAdd"], host["CapDrop"]) == (["NET_ADMIN"], ["ALL"])
    assert host["GroupAdd"] == ["5", "7"]
    assert host["SecurityOpt"] == ["no-new-privileges"]


def test_mounts() -> None:
    mounts = [Mount(Path("/a"), "/b", read_only=True, propagation="Bidirectional")]
    (mount,) = request(resolved=RunContainerOptions(mounts=mounts))["HostConfig"]["Mounts"]
    assert (mount["Source"], mount["Target"], mount["ReadOnly"]) == ("/a", "/b", True)
    assert mount["BindOptions"] == {"Propagation": "rshared"}
    (plain,) = request(resolved=RunContainerOptions(mounts=[Mount(Path("/"), "/host")]))["HostConfig"]["Mounts"]
    assert "BindOptions" not in plain, "the engine's own directory lies below, and it refuses private mounts of that"


def test_what_labels_say_is_read_back() -> None:
    pod = make_pod(termination_grace_period_seconds=7)
    made = config.container(pod, pod.spec.containers[0], 3, sandbox(), RunContainerOptions(), DEFAULTS)
    inspected = {
        "Id": "abc",
        "Created": "2026-01-01T00:00:00.123456789Z",
        "Image": "sha256:1",
        "Config": {"Labels": made["Labels"], "Image": "app:1", "StopSignal": "SIGQUIT"},
        "State": {
            "Status": "exited",
            "ExitCode": 3,
            "StartedAt": "2026-01-01T00:00:01.1Z",
            "FinishedAt": "0001-01-01T00:00:00Z",
            "OOMKilled": False,
            "Error": "",
        },
    }
    read = records.record_of(inspected)
    assert (read.name, read.attempt, read.pod_uid, read.grace_period) == ("main", 3, "u", 7)
    assert read.spec_hash == records.spec_hash(pod.spec.containers[0])
    assert (read.sandbox_id, read.stop_signal) == ("POD-0", "SIGQUIT")
    assert read.finished_at is None
    assert read.ended


def test_a_garbled_label_loses_no_container() -> None:
    marks = {records.POD_UID: "u", records.RESTART_COUNT: "many"}
    read = records.record_of({"Id": "x", "Config": {"Labels": marks}, "State": {"Status": "running"}})
    assert (read.attempt, read.grace_period, read.running) == (0, 30, True)


@pytest.mark.parametrize("image", ["a", "a/b:1", "host:5000/a/b:v1.2", "a@sha256:" + "0" * 64, "localhost/a_b-c.d:X"])
def test_image_names(image: str) -> None:
    assert is_valid(image)


@pytest.mark.parametrize("image", ["", "A", "a b", "a:", "a/:1", "a@sha256:12", "a//b"])
def test_what_is_no_image_name(image: str) -> None:
    assert not is_valid(image)
