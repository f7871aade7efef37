"""What is wrong with the containers of a pod, and with what a pod says of all of them."""

from typing import Any

import pytest

from tests.kinds import CONTAINER
from tests.unit.apiserver.registry.rows import Faults, faults_of

PORT = {"containerPort": 1, "hostPort": 2}
PATH = "spec.containers[0]"


def variable(**source: Any) -> dict[str, Any]:
    return {"env": [{"name": "A", "valueFrom": source}]}


def stopping(**handler: Any) -> dict[str, Any]:
    return {"lifecycle": {"preStop": handler}}


def mounting(**mount: Any) -> dict[str, Any]:
    return {"volumeMounts": [{"name": "v", "mountPath": "/v", **mount}]}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"envFrom": [{"prefix": "a=b", "configMapRef": {"name": "x"}}]}, {("envFrom[0].prefix", "Invalid")}),
        ({"envFrom": [{"configMapRef": {"name": ""}}]}, {("envFrom[0].configMapRef.name", "Required")}),
        ({"envFrom": [{"secretRef": {"name": "A_b"}}]}, {("envFrom[0].secretRef.name", "Invalid")}),
        (variable(secretKeyRef={"name": "", "key": "k/k"}), {
            ("env[0].valueFrom.secretKeyRef.name", "Invalid"), ("env[0].valueFrom.secretKeyRef.key", "Invalid"),
        }),
        (variable(fieldRef={"fieldPath": "spec.foo"}), {("env[0].valueFrom.fieldRef.fieldPath", "Invalid")}),
        (variable(fieldRef={"fieldPath": "metadata.labels"}), {("env[0].valueFrom.fieldRef.fieldPath", "NotSupported")}),
        (variable(fieldRef={"apiVersion": "v9", "fieldPath": "metadata.name"}), {
            ("env[0].valueFrom.fieldRef.fieldPath", "Invalid"),
        }),
        (variable(fieldRef={"fieldPath": "metadata.labels['a b']"}), {("env[0].valueFrom.fieldRef.fieldPath", "Invalid")}),
        (variable(fieldRef={"fieldPath": "metadata.annotations['Example.com/a']"}), set()),
        (variable(fieldRef={"fieldPath": "status.podIP"}), set()),
        (variable(resourceFieldRef={}), {("env[0].valueFrom.resourceFieldRef.resource", "Required")}),
        (variable(resourceFieldRef={"resource": "limits.foo"}), {
            ("env[0].valueFrom.resourceFieldRef.resource", "NotSupported"),
        }),
        (variable(resourceFieldRef={"resource": "limits.cpu", "divisor": "3"}), {
            ("env[0].valueFrom.resourceFieldRef.divisor", "Invalid"),
        }),
        (variable(resourceFieldRef={"resource": "limits.memory", "divisor": "1Mi"}), set()),
        (mounting(recursiveReadOnly="Enabled"), {("volumeMounts[0].recursiveReadOnly", "Forbidden")}),
        (mounting(recursiveReadOnly="Enabled", readOnly=True), set()),
        (stopping(exec={"command": []}), {("lifecycle.preStop.exec.command", "Required")}),
        (stopping(httpGet={"port": 0, "scheme": "FTP"}), {
            ("lifecycle.preStop.httpGet.port", "Invalid"), ("lifecycle.preStop.httpGet.scheme", "NotSupported"),
        }),
        (stopping(tcpSocket={"port": 99999}), {("lifecycle.preStop.tcpSocket.port", "Invalid")}),
        (stopping(sleep={"seconds": 31}), {("lifecycle.preStop.sleep", "Invalid")}),
        (stopping(sleep={"seconds": 30}), set()),
        ({"livenessProbe": {"httpGet": {"port": 1, "httpHeaders": [{"name": "a b"}]}}}, {
            ("livenessProbe.httpGet.httpHeaders", "Invalid"),
        }),
        ({"livenessProbe": {"grpc": {"port": 0}}}, {("livenessProbe.grpc.port", "Invalid")}),
        ({"livenessProbe": {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 0}}, {
            ("livenessProbe.terminationGracePeriodSeconds", "Invalid"),
        }),
        ({"readinessProbe": {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 5}}, {
            ("readinessProbe.terminationGracePeriodSeconds", "Invalid"),
        }),
        ({"ports": [{"containerPort": 1, "hostIP": "x"}]}, {("ports[0].hostIP", "Invalid")}),
        ({"restartPolicy": "Always"}, {("restartPolicy", "Forbidden")}),
        ({"resizePolicy": [{"resourceName": "disk", "restartPolicy": ""}]}, {
            ("resizePolicy[0].resourceName", "NotSupported"), ("resizePolicy[0].restartPolicy", "Required"),
        }),
        ({"securityContext": {"appArmorProfile": {"type": "Localhost"}}}, {
            ("securityContext.appArmorProfile.localhostProfile", "Required"),
        }),
        ({"securityContext": {"appArmorProfile": {"type": "X"}}}, {
            ("securityContext.appArmorProfile.type", "NotSupported"),
        }),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_container(change: dict[str, Any], expected: Faults) -> None:
    spec = {"containers": [{**CONTAINER, **change}], "volumes": [{"name": "v"}]}
    assert faults_of("pods", spec=spec) == {(f"{PATH}.{field}", reason) for field, reason in expected}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"initContainers": [{**CONTAINER, "name": "i", "ports": [PORT, {**PORT, "containerPort": 3}]}]}, {
            ("initContainers[0].ports[1].hostPort", "Duplicate"),
        }),
        ({"initContainers": [{**CONTAINER, "name": name, "ports": [PORT]} for name in "ij"]}, set()),
        ({"os": {"name": "mac"}}, {("os.name", "NotSupported")}),
        ({"os": {"name": "linux"}, "securityContext": {"windowsOptions": {}}}, {
            ("securityContext.windowsOptions", "Forbidden"),
        }),
        ({"os": {"name": "linux"}, "containers": [{**CONTAINER, "securityContext": {"windowsOptions": {}}}]}, {
            ("containers[0].securityContext.windowsOptions", "Forbidden"),
        }),
        ({"securityContext": {"windowsOptions": {"gmsaCredentialSpecName": "A_b", "gmsaCredentialSpec": ""}}}, {
            ("securityContext.windowsOptions.gmsaCredentialSpecName", "Invalid"),
            ("securityContext.windowsOptions.gmsaCredentialSpec", "Invalid"),
        }),
        ({"securityContext": {"windowsOptions": {"hostProcess": True}}}, {("hostNetwork", "Invalid")}),
        ({"hostNetwork": True, "securityContext": {"windowsOptions": {"hostProcess": True}}, "containers": [
            {**CONTAINER, "securityContext": {"windowsOptions": {"hostProcess": False}}},
            {**CONTAINER, "name": "b"},
        ]}, {
            ("containers[0].securityContext.windowsOptions.hostProcess", "Invalid"), ("", "Invalid"),
        }),
        ({"overhead": {"cpu": "-1"}}, {("overhead[cpu]", "Invalid")}),
        ({"resourceClaims": [
            {"name": ""}, {"name": "a", "resourceClaimName": "x", "resourceClaimTemplateName": "y"},
            {"name": "a", "resourceClaimName": "X"}, {"name": "b", "resourceClaimTemplateName": "gpu"},
        ]}, {
            ("resourceClaims[0].name", "Required"), ("resourceClaims[0]", "Invalid"), ("resourceClaims[1]", "Invalid"),
            ("resourceClaims[2].name", "Duplicate"), ("resourceClaims[2].resourceClaimName", "Invalid"),
        }),
        ({"resources": {"requests": {"example.com/gpu": "1"}}}, {
            ("resources.requests[example.com/gpu]", "NotSupported"),
        }),
        ({"resources": {"claims": [{"name": "a"}]}}, {("resources.claims", "Forbidden")}),
        ({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}, {("resources.requests", "Invalid")}),
        ({"resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}, "containers": [
            {**CONTAINER, "resources": {"requests": {"cpu": "60m"}}},
            {**CONTAINER, "name": "b", "resources": {"requests": {"cpu": "60m"}, "limits": {"memory": "2Gi"}}},
        ]}, {
            ("resources.requests[cpu]", "Invalid"), ("containers[1].resources.limits[memory]", "Invalid"),
        }),
        ({"resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "1Gi"}}}, set()),
        ({"securityContext": {"supplementalGroupsPolicy": "X", "seLinuxChangePolicy": "Y"}}, {
            ("securityContext.supplementalGroupsPolicy", "NotSupported"),
            ("securityContext.seLinuxChangePolicy", "NotSupported"),
        }),
        ({"dnsConfig": {"searches": ["a\nnameserver 1.2.3.4", "a.\n", "\n"]}},
         {(f"dnsConfig.searches[{i}]", "Invalid") for i in range(3)}),
        ({"dnsConfig": {"options": [{"name": "ndots\nnameserver"}, {"name": "ndots", "value": "1\n"}]}},
         {("dnsConfig.options[0].name", "Invalid"), ("dnsConfig.options[1].value", "Invalid")}),
        ({"dnsConfig": {"searches": ["a b", ".", "_tcp.example.com."]}}, {("dnsConfig.searches[0]", "Invalid")}),
        ({"dnsConfig": {"searches": [f"{'a' * 63}.{'b' * 63}.{'c' * 63}.x"] * 11}}, {("dnsConfig.searches", "Invalid")}),
        ({"hostUsers": False, "hostPID": True}, {("hostPID", "Forbidden")}),
        ({"volumes": [{"name": "v", "downwardAPI": {"items": [
            {"path": "a", "fieldRef": {"fieldPath": "status.podIP"}}, {"path": "b", "resourceFieldRef": {}},
        ]}}]}, {
            ("volumes[0].downwardAPI.items[0].fieldRef.fieldPath", "NotSupported"),
            ("volumes[0].downwardAPI.items[1].resourceFieldRef.containerName", "Required"),
        }),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_rest_of_a_pod(change: dict[str, Any], expected: Faults) -> None:
    assert faults_of("pods", spec={"containers": [CONTAINER], **change}) == {
        (f"spec.{field}" if field else "spec", reason) for field, reason in expected
    }


CLAIM = {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}}


def devices(*devices: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"volumeDevices": [*devices], **more}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (devices({"name": "claim", "devicePath": "/dev/a"}), set()),
        (devices({"name": "own", "devicePath": "/dev/a"}), set()),
        (devices({"name": "", "devicePath": ""}), {("[0].name", "Required"), ("[0].devicePath", "Required")}),
        (devices({"name": "missing", "devicePath": "/dev/a"}), {("[0].name", "NotFound")}),
        (devices({"name": "v", "devicePath": "/dev/a"}), {("[0].name", "Invalid")}),
        (devices({"name": "claim", "devicePath": "/dev/../a"}), {("[0].devicePath", "Invalid")}),
        (devices({"name": "claim", "devicePath": "/dev/a"}, {"name": "claim", "devicePath": "/dev/a"}), {
            ("[1].name", "Invalid"), ("[1].devicePath", "Invalid"),
        }),
        (devices({"name": "claim", "devicePath": "/m"}, volumeMounts=[{"name": "claim", "mountPath": "/n"}]), {
            ("[0].name", "Invalid"),
        }),
    ],
)  # fmt: skip
def test_what_is_wrong_with_devices_of_a_container(change: dict[str, Any], expected: Faults) -> None:
    own = {"name": "own", "ephemeral": {"volumeClaimTemplate": {"spec": {
        "accessModes": ["ReadWriteOnce"], "volumeMode": "Block", "resources": {"requests": {"storage": "1Gi"}},
    }}}}  # fmt: skip
    spec = {"containers": [{**CONTAINER, **change}], "volumes": [{"name": "v"}, CLAIM, own]}
    assert faults_of("pods", spec=spec) == {(f"{PATH}.volumeDevices{field}", reason) for field, reason in expected}


def test_a_path_is_a_device_or_a_mount() -> None:
    change = devices({"name": "claim", "devicePath": "/m"}, volumeMounts=[{"name": "v", "mountPath": "/m"}])
    spec = {"containers": [{**CONTAINER, **change}], "volumes": [{"name": "v"}, CLAIM]}
    assert faults_of("pods", spec=spec) == {
        (f"{PATH}.volumeDevices[0].devicePath", "Invalid"), (f"{PATH}.volumeMounts[0].mountPath", "Invalid"),
    }  # fmt: skip


def test_a_container_uses_claims_of_its_pod() -> None:
    claims = [{"name": "gpu"}, {"name": "gpu"}, {"name": "gpu", "request": "one"}, {"name": "other"}, {"name": ""}]
    spec = {
        "containers": [{**CONTAINER, "resources": {"claims": claims}}],
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "x"}],
    }
    place = f"{PATH}.resources.claims"
    assert faults_of("pods", spec=spec) == {
        (f"{place}[1]", "Duplicate"), (f"{place}[3].name", "NotFound"), (f"{place}[4].name", "Required"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("signal", "system", "reason"),
    [
        ("SIGUSR1", "linux", None),
        ("SIGRTMIN+3", "linux", None),
        ("SIGRTMAX-14", "linux", None),
        ("USR1", "linux", "NotSupported"),
        ("SIGUSR1", "windows", "NotSupported"),
        ("SIGUSR1", None, "Forbidden"),
    ],
)
def test_the_stop_signal_is_known_to_the_operating_system(signal: str, system: str | None, reason: str | None) -> None:
    spec = {"containers": [{**CONTAINER, "lifecycle": {"stopSignal": signal}}]}
    if system:
        spec["os"] = {"name": system}
    assert faults_of("pods", spec=spec) == ({(f"{PATH}.lifecycle.stopSignal", reason)} if reason else set())


@pytest.mark.parametrize(
    ("user", "is_valid"),
    [
        ("ContainerUser", True), ("domain\\user", True), ("corp.example.com\\user", True), ("", False), ("a\nb", False),
        ("a\\b\\c", False), ("domain\\", False), ("..", False), ("a:b", False), ("d*\\user", False), ("u" * 105, False),
    ],
)  # fmt: skip
def test_a_windows_user_name(user: str, is_valid: bool) -> None:
    context = {"securityContext": {"windowsOptions": {"runAsUserName": user}}}
    place = f"{PATH}.securityContext.windowsOptions.runAsUserName"
    faults = faults_of("pods", spec={"containers": [{**CONTAINER, **context}]})
    assert faults == (set() if is_valid else {(place, "Invalid")})
