"""What the server fills in, kind by kind, as Kubernetes' own defaults have it."""

from typing import Any

import pytest

from tests.kinds import KINDS, Kind
from tests.unit.apiserver.registry.rows import ROWS, body, defaulted, faults

POD_DEFAULTS = {
    "containers": [
        {
            "name": "c",
            "image": "busybox:1.36",
            "imagePullPolicy": "IfNotPresent",
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }
    ],
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}
SELECTOR = {"matchLabels": {"app": "a"}}
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": POD_DEFAULTS}
JOB_PODS = {**POD_DEFAULTS, "restartPolicy": "Never"}
UTILIZATION = {"type": "Utilization", "averageUtilization": 50}

SPECS = {
    "deployments": {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "selector": SELECTOR,
        "template": TEMPLATE,
    },
    "replicasets": {"replicas": 1, "selector": SELECTOR, "template": TEMPLATE},
    "daemonsets": {
        "revisionHistoryLimit": 10,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
        "selector": SELECTOR,
        "template": TEMPLATE,
    },
    "statefulsets": {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "serviceName": "a",
        "selector": SELECTOR,
        "template": TEMPLATE,
    },
    "cronjobs": {
        "schedule": "*/5 * * * *",
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"metadata": {}, "spec": {"template": {"metadata": {}, "spec": JOB_PODS}}},
    },
    "persistentvolumes": {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/data", "type": ""},
        "persistentVolumeReclaimPolicy": "Retain",
        "volumeMode": "Filesystem",
    },
    "persistentvolumeclaims": {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "volumeMode": "Filesystem",
    },
    "limitranges": {
        "limits": [{"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}]
    },
    "networkpolicies": {"podSelector": {}, "policyTypes": ["Ingress"]},
    "csidrivers": {
        "attachRequired": True,
        "podInfoOnMount": False,
        "requiresRepublish": False,
        "seLinuxMount": False,
        "storageCapacity": False,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "volumeLifecycleModes": ["Persistent"],
    },
    "flowschemas": {"priorityLevelConfiguration": {"name": "a"}, "matchingPrecedence": 1000},
    "prioritylevelconfigurations": {
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": 30, "lendablePercent": 0, "limitResponse": {"type": "Reject"}},
    },
}


@pytest.mark.parametrize("plural", SPECS)
def test_a_spec_is_filled_in(plural: str) -> None:
    assert defaulted(plural)["spec"] == SPECS[plural]


EGRESS = {"egress": [{"ports": [{"port": 53}]}]}

PARTS: list[tuple[str, str, dict[str, Any], str, Any]] = [
    ("horizontalpodautoscalers", "v2", {"spec": {"metrics": None}}, "spec.metrics.0.resource.target", {
        "type": "Utilization", "averageUtilization": 80,
    }),
    ("horizontalpodautoscalers", "v2", {}, "spec.minReplicas", 1),
    ("horizontalpodautoscalers", "v2", {"spec": {"behavior": {}}}, "spec.behavior.scaleUp", {
        "stabilizationWindowSeconds": 0, "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15},
                     {"type": "Percent", "value": 100, "periodSeconds": 15}],
    }),
    ("horizontalpodautoscalers", "v1", {"spec": {"targetCPUUtilizationPercentage": None}},
     "spec.targetCPUUtilizationPercentage", 80),
    ("deployments", "", {"spec": {"strategy": {"type": "Recreate"}}}, "spec.strategy", {"type": "Recreate"}),
    ("daemonsets", "", {"spec": {"updateStrategy": {"type": "OnDelete"}}}, "spec.updateStrategy", {"type": "OnDelete"}),
    ("statefulsets", "", {"spec": {"volumeClaimTemplates": [{"metadata": {"name": "d"}}]}},
     "spec.volumeClaimTemplates.0.status.phase", "Pending"),
    ("jobs", "", {"spec": {"backoffLimitPerIndex": 1}}, "spec.backoffLimit", 2**31 - 1),
    ("jobs", "", {"spec": {"parallelism": 3}}, "spec.completions", None),
    ("jobs", "", {}, "spec.completions", 1),
    ("jobs", "", {"spec": {"podFailurePolicy": {"rules": []}}}, "spec.podReplacementPolicy", "Failed"),
    ("jobs", "", {"spec": {"template": {"metadata": {"labels": {"x": "y"}}}}}, "metadata.labels", {"x": "y"}),
    ("persistentvolumeclaims", "", {}, "status", {"phase": "Pending"}),
    ("persistentvolumes", "", {}, "status", {"phase": "Pending"}),
    ("endpointslices", "", {}, "ports", [{"name": "", "port": 80, "protocol": "TCP"}]),
    ("poddisruptionbudgets", "", {}, "status", {
        "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0,
    }),
    ("rolebindings", "", {}, "roleRef.apiGroup", "rbac.authorization.k8s.io"),
    ("rolebindings", "", {}, "subjects.0.apiGroup", "rbac.authorization.k8s.io"),
    ("clusterrolebindings", "", {}, "subjects.0.apiGroup", "rbac.authorization.k8s.io"),
    ("priorityclasses", "", {"value": None, "description": "d"}, "value", 0),
    ("priorityclasses", "", {}, "preemptionPolicy", "PreemptLowerPriority"),
    ("storageclasses", "", {}, "reclaimPolicy", "Delete"),
    ("storageclasses", "", {}, "volumeBindingMode", "Immediate"),
    ("networkpolicies", "", {"spec": EGRESS}, "spec.policyTypes", ["Ingress", "Egress"]),
    ("networkpolicies", "", {"spec": EGRESS}, "spec.egress.0.ports.0.protocol", "TCP"),
    ("ingressclasses", "", {"spec": {"parameters": {"kind": "K", "name": "n"}}}, "spec.parameters.scope", "Cluster"),
    ("mutatingwebhookconfigurations", "", {}, "webhooks.0.reinvocationPolicy", "Never"),
    ("validatingwebhookconfigurations", "", {}, "webhooks.0.reinvocationPolicy", None),
    ("validatingwebhookconfigurations", "", {}, "webhooks.0.timeoutSeconds", 10),
    ("validatingwebhookconfigurations", "", {}, "webhooks.0.failurePolicy", "Fail"),
    ("validatingwebhookconfigurations", "", {}, "webhooks.0.matchPolicy", "Equivalent"),
    ("validatingwebhookconfigurations", "", {}, "webhooks.0.namespaceSelector", {}),
    ("validatingwebhookconfigurations", "", {}, "webhooks.0.rules.0.scope", "*"),
    ("validatingadmissionpolicies", "", {}, "spec.failurePolicy", "Fail"),
    ("validatingadmissionpolicies", "", {}, "spec.matchConstraints.matchPolicy", "Equivalent"),
    ("customresourcedefinitions", "", {}, "spec.names", {
        "plural": "wishes", "singular": "wish", "kind": "Wish", "listKind": "WishList",
    }),
    ("customresourcedefinitions", "", {}, "spec.conversion", {"strategy": "None"}),
    ("customresourcedefinitions", "", {}, "status.storedVersions", ["v1"]),
    ("apiservices", "", {}, "status.conditions.0.reason", "Local"),
    ("prioritylevelconfigurations", "", {"spec": {"type": "Exempt", "limited": None}}, "spec.exempt", {
        "nominalConcurrencyShares": 0, "lendablePercent": 0,
    }),
]  # fmt: skip


@pytest.mark.parametrize(("plural", "version", "change", "path", "expected"), PARTS)
def test_a_part_is_filled_in(plural: str, version: str, change: dict[str, Any], path: str, expected: Any) -> None:
    value: Any = defaulted(plural, version, **body(plural, version, **change))
    for step in path.split("."):
        value = value[int(step)] if step.isdecimal() else (value or {}).get(step)
    assert value == expected


def test_a_jobs_selector_is_its_own() -> None:
    job = defaulted("jobs")
    uid = job["metadata"]["uid"]
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert job["spec"]["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": "a",
        "controller-uid": uid,
        "job-name": "a",
    }


def test_a_manual_selector_is_left_alone() -> None:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"manualSelector": True, "selector": SELECTOR, "template": template}
    job = defaulted("jobs", spec=spec)
    assert job["spec"]["selector"] == SELECTOR
    assert job["spec"]["template"]["metadata"] == {"labels": {"app": "a"}}


@pytest.mark.parametrize("sample", KINDS, ids=str)
def test_the_smallest_object_is_valid_and_defaults_are_settled(sample: Kind) -> None:
    """Defaulting once more what is stored changes nothing: else each update would count as a change."""
    assert faults(sample.plural, sample.version) == set()
    first = defaulted(sample.plural, sample.version)
    again = {key: value for key, value in first.items() if key not in ("apiVersion", "kind", "metadata")}
    second = defaulted(sample.plural, sample.version, **again)
    if sample.plural != "jobs":  # their selector is another job's then
        assert {**second, "metadata": None, "status": None} == {**first, "metadata": None, "status": None}


def test_every_stored_kind_has_a_sample() -> None:
    known = {(sample.group, sample.version, sample.plural) for sample in KINDS}
    older = {
        "configmaps", "endpoints", "events", "leases", "namespaces", "nodes", "pods", "replicationcontrollers",
        "secrets", "services",
    }  # fmt: skip
    for info in ROWS:
        resource = info.resource
        if info.stored_kind is not None and resource.plural not in older:
            assert (resource.group, resource.version, resource.plural) in known
