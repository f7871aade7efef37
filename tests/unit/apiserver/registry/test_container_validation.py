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
        ({"overhead": {"cpu": "-1"}}, {("overhead[cpu]", "Invalid")}),
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
        (f"spec.{field}", reason) for field, reason in expected
    }
