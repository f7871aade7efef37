"""What clients are warned of in objects that are accepted."""

from typing import Any

import pytest

from tests.kinds import CONTAINER
from tests.unit.apiserver.registry.rows import body, made, row

PORT = {"containerPort": 80}
WAITS = "the kubelet does not start containers that ask for it"


def warnings_of(plural: str, document: dict[str, Any]) -> list[str]:
    return list(row(plural).strategy.warnings(made(plural, **document)))


SPECS: list[tuple[dict[str, Any], list[str]]] = [
    ({"containers": [CONTAINER]}, []),
    ({"containers": [{**CONTAINER, "env": [{"name": "A"}, {"name": "B"}, {"name": "A"}]}]}, [
        'containers[0].env[2]: hides previous definition of "A", which may be dropped when using apply',
    ]),
    ({"containers": [{**CONTAINER, "ports": [PORT, {**PORT, "protocol": "UDP"}]}, {**CONTAINER, "ports": [PORT]}]}, [
        "containers[1].ports[0]: duplicate port definition with {path}spec.containers[0].ports[0]",
    ]),
    ({"containers": [{**CONTAINER, "resources": {"limits": {"memory": "1500m"}}}]}, [
        'containers[0].resources.limits[memory]: fractional byte value "1500m" is invalid, must be an integer',
    ]),
    ({"containers": [CONTAINER], "nodeSelector": {"beta.kubernetes.io/os": "linux"}}, [
        'nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
    ]),
    ({"containers": [CONTAINER], "hostAliases": [{"ip": "10.0.0.1"}] * 2}, ['hostAliases[1].ip: duplicate ip "10.0.0.1"']),
    ({"containers": [CONTAINER], "imagePullSecrets": [{"name": "a"}] * 2}, ['imagePullSecrets[1].name: duplicate name "a"']),
    ({"containers": [CONTAINER], "terminationGracePeriodSeconds": -1}, [
        "terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
    ]),
    ({"containers": [CONTAINER], "topologySpreadConstraints": [
        {"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "topologyKey": "failure-domain.beta.kubernetes.io/zone"},
    ]}, [
        "topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "
        '"topology.kubernetes.io/zone" instead',
        "topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        "topologySpreadConstraints: has no effect: the default scheduler does not act upon it",
    ]),
    ({"containers": [CONTAINER], "affinity": {"podAffinity": {}, "podAntiAffinity": {}}}, [
        "affinity.podAffinity: has no effect: the default scheduler does not act upon it",
        "affinity.podAntiAffinity: has no effect: the default scheduler does not act upon it",
    ]),
    ({"containers": [CONTAINER], "affinity": {"podAffinity": {}}, "schedulerName": "another"}, []),
    ({"containers": [CONTAINER], "affinity": {"nodeAffinity": {}}}, []),
    ({"containers": [CONTAINER], "preemptionPolicy": "PreemptLowerPriority"}, [
        "preemptionPolicy: PreemptLowerPriority has no effect: the default scheduler does not preempt pods",
    ]),
    ({"containers": [CONTAINER], "preemptionPolicy": "PreemptLowerPriority", "priority": 0}, []),
    ({"containers": [CONTAINER], "preemptionPolicy": "Never", "priority": 5}, []),
    ({"containers": [CONTAINER], "resourceClaims": [{"name": "a"}], "resources": {"limits": {"cpu": "1"}}}, [
        f"resourceClaims: no node has a driver for dynamic resource allocation; {WAITS}",
        f"resources: nodes give resources to containers, not to a pod as a whole; {WAITS}",
    ]),
    ({"hostUsers": False, "securityContext": {"windowsOptions": {}, "supplementalGroupsPolicy": "Strict"}, "containers": [
        {**CONTAINER, "securityContext": {"windowsOptions": {}}},
    ]}, [
        f"hostUsers: nodes have no user namespace per pod; {WAITS}",
        f"securityContext.windowsOptions: nodes run Linux; {WAITS}",
        f"securityContext.supplementalGroupsPolicy: nodes always add the groups of the image's user; {WAITS}",
        f"containers[0].securityContext.windowsOptions: nodes run Linux; {WAITS}",
    ]),
    ({"containers": [{
        **CONTAINER, "volumeDevices": [{"name": "v", "devicePath": "/dev/v"}],
        "restartPolicyRules": [{"action": "Restart"}],
        "volumeMounts": [{"name": "m", "mountPath": "/m", "readOnly": True, "recursiveReadOnly": "Enabled"}],
        "env": [{"name": "A", "valueFrom": {"fileKeyRef": {"key": "k", "path": "p", "volumeName": "v"}}}],
    }]}, [
        f"containers[0].volumeDevices: nodes do not give block devices to containers; {WAITS}",
        f"containers[0].restartPolicyRules: nodes restart a container by its restartPolicy only; {WAITS}",
        f"containers[0].volumeMounts[0].recursiveReadOnly: nodes cannot mount read-only recursively; {WAITS}",
        f"containers[0].env[0].valueFrom.fileKeyRef: nodes do not read it; {WAITS}",
    ]),
]  # fmt: skip


MAKERS = {
    "deployments": "spec.template.",
    "cronjobs": "spec.jobTemplate.spec.template.",
    "podtemplates": "template.",
    "replicationcontrollers": "spec.template.",
}


def _made_by(plural: str, spec: dict[str, Any]) -> dict[str, Any]:
    if plural == "replicationcontrollers":
        return {"spec": {"selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": spec}}}
    change: dict[str, Any] = {"spec": spec}
    for name in reversed(MAKERS[plural].removesuffix(".").split(".")):
        change = {name: change}
    return body(plural, **change)


@pytest.mark.parametrize("plural", sorted(MAKERS))
@pytest.mark.parametrize(("spec", "expected"), SPECS)
def test_templates_are_warned_of_wherever_they_are(plural: str, spec: dict[str, Any], expected: list[str]) -> None:
    path = MAKERS[plural]
    assert warnings_of(plural, _made_by(plural, spec)) == [f"{path}spec.{text.format(path=path)}" for text in expected]


@pytest.mark.parametrize(("policy", "is_warned"), [(None, True), ("PreemptLowerPriority", True), ("Never", False)])
def test_a_priority_class_does_not_preempt(policy: str | None, is_warned: bool) -> None:
    document = {"value": 5, **({"preemptionPolicy": policy} if policy else {})}
    why = "preemptionPolicy: PreemptLowerPriority has no effect: the default scheduler does not preempt pods"
    assert warnings_of("priorityclasses", document) == ([why] if is_warned else [])


def test_names_and_annotations_of_pods_are_warned_of() -> None:
    metadata = {"name": "a.b", "annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}}
    name, annotation = warnings_of("pods", {"metadata": metadata, "spec": {"containers": [CONTAINER]}})
    assert name.startswith("metadata.name: this is used in the Pod's hostname, which can result in surprising behavior")
    assert annotation == (
        "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the "
        '"appArmorProfile" field instead'
    )
