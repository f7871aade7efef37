"""What each kind refuses: the field that is named, and the reason that programs read."""

from typing import Any

import pytest

from tests.kinds import CONTAINER, RULE, SELECTOR, TARGET
from tests.unit.apiserver.registry.rows import body, faults

Case = tuple[str, dict[str, Any], set[tuple[str, str]]]

LONG = "a" * 53
POD = {"containers": [CONTAINER]}
OTHER_LABELS = {"template": {"metadata": {"labels": {"app": "b"}}}}
BAD_SELECTOR = {"matchExpressions": [
    {"key": "a", "operator": "In"}, {"key": "b", "operator": "Exists", "values": ["x"]}, {"key": "c", "operator": "Is"},
]}  # fmt: skip
SELECTOR_FAULTS = {
    ("matchExpressions[0].values", "Required"), ("matchExpressions[1].values", "Forbidden"),
    ("matchExpressions[2].operator", "Invalid"),
}  # fmt: skip

WORKLOADS: list[Case] = [
    ("deployments", {"spec": {"replicas": -1}}, {("spec.replicas", "Invalid")}),
    ("deployments", {"spec": {"selector": {"matchLabels": None}}}, {
        ("spec.selector", "Required"), ("spec.template.metadata.labels", "Invalid"),
    }),
    ("deployments", {"spec": OTHER_LABELS}, {("spec.template.metadata.labels", "Invalid")}),
    ("deployments", {"spec": {"strategy": {"type": "Slow"}}}, {("spec.strategy.type", "NotSupported")}),
    ("deployments", {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": {}}}}, {
        ("spec.strategy.rollingUpdate", "Forbidden"),
    }),
    ("deployments", {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}}}, {
        ("spec.strategy.rollingUpdate.maxUnavailable", "Invalid"),
    }),
    ("deployments", {"spec": {"strategy": {"rollingUpdate": {"maxSurge": "x", "maxUnavailable": "101%"}}}}, {
        ("spec.strategy.rollingUpdate.maxSurge", "Invalid"), ("spec.strategy.rollingUpdate.maxUnavailable", "Invalid"),
    }),
    ("deployments", {"spec": {"minReadySeconds": 600}}, {("spec.progressDeadlineSeconds", "Invalid")}),
    ("deployments", {"spec": {"template": {"spec": {"containers": []}}}}, {
        ("spec.template.spec.containers", "Required"),
    }),
    ("deployments", {"spec": {"template": {"spec": {"restartPolicy": "Never", "activeDeadlineSeconds": 1}}}}, {
        ("spec.template.spec.restartPolicy", "NotSupported"), ("spec.template.spec.activeDeadlineSeconds", "Forbidden"),
    }),
    ("replicasets", {"spec": {"replicas": -1, "minReadySeconds": -1}}, {
        ("spec.replicas", "Invalid"), ("spec.minReadySeconds", "Invalid"),
    }),
    ("daemonsets", {"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}}}, {
        ("spec.updateStrategy.rollingUpdate.maxUnavailable", "Invalid"),
    }),
    ("daemonsets", {"spec": {"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}}, {
        ("spec.updateStrategy.rollingUpdate.maxSurge", "Invalid"),
    }),
    ("daemonsets", {"spec": {"updateStrategy": {"type": "Often"}}}, {("spec.updateStrategy.type", "NotSupported")}),
    ("statefulsets", {"spec": {"podManagementPolicy": "Random"}}, {("spec.podManagementPolicy", "Invalid")}),
    ("statefulsets", {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {}}}}, {
        ("spec.updateStrategy.rollingUpdate", "Invalid"),
    }),
    ("statefulsets", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": -1}}}}, {
        ("spec.updateStrategy.rollingUpdate.partition", "Invalid"),
    }),
    ("statefulsets", {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Burn"}}}, {
        ("spec.persistentVolumeClaimRetentionPolicy.whenDeleted", "NotSupported"),
    }),
    ("controllerrevisions", {"data": None, "revision": -1}, {("data", "Required"), ("revision", "Invalid")}),
    ("jobs", {"spec": {"template": {"spec": {"restartPolicy": "Always"}}}}, {
        ("spec.template.spec.restartPolicy", "Required"),
    }),
    ("jobs", {"spec": {"parallelism": -1, "completions": -1, "backoffLimit": -1, "ttlSecondsAfterFinished": -1}}, {
        ("spec.parallelism", "Invalid"), ("spec.completions", "Invalid"), ("spec.backoffLimit", "Invalid"),
        ("spec.ttlSecondsAfterFinished", "Invalid"),
    }),
    ("jobs", {"spec": {"completionMode": "Indexed", "completions": None, "parallelism": 2}}, {
        ("spec.completions", "Required"),
    }),
    ("jobs", {"spec": {"completionMode": "Sorted"}}, {("spec.completionMode", "NotSupported")}),
    ("jobs", {"spec": {"backoffLimitPerIndex": 1}}, {("spec.backoffLimitPerIndex", "Invalid")}),
    ("jobs", {"spec": {"manualSelector": True}}, {("spec.selector", "Required")}),
    ("jobs", {"spec": {"podFailurePolicy": {"rules": [
        {"action": "Wait", "onExitCodes": {"operator": "In", "values": [0]}},
        {"action": "FailIndex", "onPodConditions": [{"type": "DisruptionTarget"}]},
        {"action": "Ignore"},
    ]}}}, {
        ("spec.podFailurePolicy.rules[0].action", "NotSupported"),
        ("spec.podFailurePolicy.rules[0].onExitCodes.values[0]", "Invalid"),
        ("spec.podFailurePolicy.rules[1].action", "Invalid"),
        ("spec.podFailurePolicy.rules[2]", "Invalid"),
    }),
    ("jobs", {"spec": {"successPolicy": {"rules": []}}}, {
        ("spec.successPolicy", "Invalid"), ("spec.successPolicy.rules", "Required"),
    }),
    ("cronjobs", {"spec": {"schedule": ""}}, {("spec.schedule", "Required")}),
    ("cronjobs", {"spec": {"schedule": "* *"}}, {("spec.schedule", "Invalid")}),
    ("cronjobs", {"spec": {"schedule": "TZ=UTC 0 0 * * *"}}, {("spec.schedule", "Invalid")}),
    ("cronjobs", {"spec": {"timeZone": "Moon/Base"}}, {("spec.timeZone", "Invalid")}),
    ("cronjobs", {"spec": {"concurrencyPolicy": "Maybe", "startingDeadlineSeconds": -1}}, {
        ("spec.concurrencyPolicy", "NotSupported"), ("spec.startingDeadlineSeconds", "Invalid"),
    }),
    ("podtemplates", {"template": {"spec": {"containers": []}}}, {("template.spec.containers", "Required")}),
    ("poddisruptionbudgets", {"spec": {"maxUnavailable": 1}}, {("spec", "Invalid")}),
    ("poddisruptionbudgets", {"spec": {"minAvailable": "150%"}}, {("spec.minAvailable", "Invalid")}),
    ("poddisruptionbudgets", {"spec": {"unhealthyPodEvictionPolicy": "No"}}, {
        ("spec.unhealthyPodEvictionPolicy", "NotSupported"),
    }),
    ("poddisruptionbudgets", {"spec": {"selector": BAD_SELECTOR}}, {
        (f"spec.selector.{field}", reason) for field, reason in SELECTOR_FAULTS
    }),
    ("horizontalpodautoscalers", {"spec": {"maxReplicas": 0}}, {("spec.maxReplicas", "Invalid")}),
    ("horizontalpodautoscalers", {"spec": {"minReplicas": 5}}, {("spec.maxReplicas", "Invalid")}),
    ("horizontalpodautoscalers", {"spec": {"scaleTargetRef": {**TARGET, "kind": "", "name": "a/b"}}}, {
        ("spec.scaleTargetRef.kind", "Required"), ("spec.scaleTargetRef.name", "Invalid"),
    }),
    ("horizontalpodautoscalers", {"spec": {"metrics": [{"type": "Pods"}, {"type": "Dreams"}]}}, {
        ("spec.metrics[0].pods", "Required"), ("spec.metrics[1].type", "NotSupported"),
    }),
]  # fmt: skip

CORE: list[Case] = [
    ("limitranges", {"spec": {"limits": [{"type": "Pod", "default": {"cpu": "1"}}, {"type": "Pod"}, {"type": ""}]}}, {
        ("spec.limits[0].default", "Forbidden"), ("spec.limits[1].type", "Duplicate"),
        ("spec.limits[2].type", "Required"),
    }),
    ("limitranges", {"spec": {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}}, {
        ("spec.limits[0].min[cpu]", "Invalid"), ("spec.limits[0].defaultRequest[cpu]", "Invalid"),
        ("spec.limits[0].default[cpu]", "Invalid"),
    }),
    ("limitranges", {"spec": {"limits": [{"type": "Container", "max": {"gold": "1"}}]}}, {
        ("spec.limits[0].max[gold]", "Invalid"), ("spec.limits[0].default[gold]", "Invalid"),
        ("spec.limits[0].defaultRequest[gold]", "Invalid"),
    }),
    ("limitranges", {"spec": {"limits": [{"type": "PersistentVolumeClaim"}]}}, {
        ("spec.limits[0].limits", "Required"),
    }),
    ("resourcequotas", {"spec": {"hard": {"pods": "-1", "gold": "1"}}}, {
        ("spec.hard[pods]", "Invalid"), ("spec.hard[gold]", "Invalid"),
    }),
    ("resourcequotas", {"spec": {"scopes": ["BestEffort", "NotBestEffort", "Gold"]}}, {
        ("spec.scopes", "Invalid"), ("spec.scopes[2]", "Invalid"),
    }),
    ("resourcequotas", {"spec": {"scopes": ["BestEffort"], "hard": {"requests.cpu": "1", "pods": "1"}}}, {
        ("spec.scopes", "Invalid"),
    }),
    ("resourcequotas", {"spec": {"scopes": ["Terminating"], "hard": {"requests.cpu": "1", "count/a.b": "1"}}}, set()),
    ("resourcequotas", {"spec": {"hard": {"services": "1"}, "scopeSelector": {"matchExpressions": [
        {"scopeName": "Terminating", "operator": "In", "values": ["a"]},
    ]}}}, {
        ("spec.scopeSelector.matchExpressions", "Invalid"),
        ("spec.scopeSelector.matchExpressions[0].operator", "Invalid"),
    }),
    ("resourcequotas", {"spec": {"scopeSelector": {"matchExpressions": [
        {"scopeName": "PriorityClass", "operator": "In"}, {"scopeName": "X", "operator": "Is"},
    ]}}}, {
        ("spec.scopeSelector.matchExpressions[0].values", "Required"),
        ("spec.scopeSelector.matchExpressions[1].scopeName", "Invalid"),
        ("spec.scopeSelector.matchExpressions[1].operator", "NotSupported"),
    }),
    ("persistentvolumes", {"spec": {"capacity": None, "accessModes": [], "hostPath": None}}, {
        ("spec.capacity", "Required"), ("spec.accessModes", "Required"), ("spec", "Required"),
    }),
    ("persistentvolumes", {"spec": {"nfs": {"server": "", "path": "x"}}}, {
        ("spec.nfs", "Forbidden"),
    }),
    ("persistentvolumes", {"spec": {"hostPath": None, "nfs": {"server": "", "path": "x"}}}, {
        ("spec.nfs.server", "Required"), ("spec.nfs.path", "Invalid"),
    }),
    ("persistentvolumes", {"spec": {"hostPath": {"path": "/a/../b"}, "persistentVolumeReclaimPolicy": "Burn"}}, {
        ("spec.hostPath.path", "Invalid"), ("spec.persistentVolumeReclaimPolicy", "NotSupported"),
    }),
    ("persistentvolumes", {"spec": {"hostPath": None, "local": {"path": "/d"}}}, {("spec.nodeAffinity", "Required")}),
    ("persistentvolumeclaims", {"spec": {"accessModes": ["WriteSometimes"], "resources": None, "volumeMode": "X"}}, {
        ("spec.accessModes", "NotSupported"), ("spec.resources[storage]", "Required"),
        ("spec.volumeMode", "NotSupported"),
    }),
    ("persistentvolumeclaims", {"spec": {"resources": {"requests": {"storage": "0"}}}}, {
        ("spec.resources[storage]", "Invalid"),
    }),
    ("persistentvolumeclaims", {"spec": {"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]}}, {
        ("spec.accessModes", "Forbidden"),
    }),
    ("endpointslices", {"addressType": "X25"}, {("addressType", "NotSupported")}),
    ("endpointslices", {"endpoints": [{"addresses": []}, {"addresses": ["127.0.0.1", "::1", "x"]}]}, {
        ("endpoints[0].addresses", "Required"), ("endpoints[1].addresses[0]", "Invalid"),
        ("endpoints[1].addresses[1]", "Invalid"), ("endpoints[1].addresses[2]", "Invalid"),
    }),
    ("endpointslices", {"ports": [{"name": "a", "port": 0}, {"name": "a", "protocol": "X"}]}, {
        ("ports[0].port", "Invalid"), ("ports[1].name", "Duplicate"), ("ports[1].protocol", "NotSupported"),
    }),
]  # fmt: skip

NETWORK: list[Case] = [
    ("ingresses", {"spec": {"defaultBackend": None}}, {("spec", "Invalid")}),
    ("ingresses", {"spec": {"defaultBackend": {"service": {"name": "", "port": {"number": 0}}}}}, {
        ("spec.defaultBackend.service.name", "Required"), ("spec.defaultBackend.service.port", "Required"),
    }),
    ("ingresses", {"spec": {"rules": [{"host": "10.0.0.1", "http": {"paths": [
        {"path": "x", "pathType": "Prefix", "backend": {"resource": {"kind": "K", "name": ""}}},
        {"path": "/a//b", "pathType": "Exact", "backend": {}},
        {"path": "/", "backend": {"service": {"name": "s", "port": {"name": "UP", "number": 1}}}},
    ]}}]}}, {
        ("spec.rules[0].host", "Invalid"), ("spec.rules[0].http.paths[0].path", "Invalid"),
        ("spec.rules[0].http.paths[0].backend.resource.name", "Required"),
        ("spec.rules[0].http.paths[1].path", "Invalid"), ("spec.rules[0].http.paths[1].backend", "Invalid"),
        ("spec.rules[0].http.paths[2].pathType", "Required"),
        ("spec.rules[0].http.paths[2].backend.service", "Invalid"),
    }),
    ("ingressclasses", {"spec": {
        "controller": "plain", "parameters": {"kind": "", "name": "n", "scope": "Namespace"},
    }}, {
        ("spec.controller", "Invalid"), ("spec.parameters.kind", "Required"),
        ("spec.parameters.namespace", "Required"),
    }),
    ("networkpolicies", {"spec": {"policyTypes": ["Sideways"], "ingress": [{
        "ports": [{"port": 70000}, {"port": "a", "endPort": 5}, {"endPort": 5}, {"port": 9, "endPort": 5}],
        "from": [{}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}, "podSelector": {}}],
    }]}}, {
        ("spec.policyTypes[0]", "NotSupported"), ("spec.ingress[0].ports[0].port", "Invalid"),
        ("spec.ingress[0].ports[1].endPort", "Invalid"), ("spec.ingress[0].ports[2].endPort", "Invalid"),
        ("spec.ingress[0].ports[3].endPort", "Invalid"), ("spec.ingress[0].from[0]", "Required"),
        ("spec.ingress[0].from[1]", "Forbidden"), ("spec.ingress[0].from[1].ipBlock.except[0]", "Invalid"),
    }),
    ("ipaddresses", {"spec": {"parentRef": {"name": ""}}}, {("spec.parentRef.name", "Required")}),
    ("servicecidrs", {"spec": {"cidrs": ["10.0.0.1"]}}, set()),
    ("servicecidrs", {"spec": {"cidrs": ["10.0.0.1/8"]}}, {("spec.cidrs[0]", "Invalid")}),
    ("servicecidrs", {"spec": {"cidrs": []}}, {("spec.cidrs", "Required")}),
]  # fmt: skip

OTHERS: list[Case] = [
    ("roles", {"rules": [{"verbs": [], "nonResourceURLs": ["/"]}, {"verbs": ["get"]}]}, {
        ("rules[0].verbs", "Required"), ("rules[0].nonResourceURLs", "Invalid"),
        ("rules[1].apiGroups", "Required"), ("rules[1].resources", "Required"),
    }),
    ("clusterroles", {"aggregationRule": {"clusterRoleSelectors": []}}, {
        ("aggregationRule.clusterRoleSelectors", "Required"),
    }),
    ("rolebindings", {"roleRef": {"kind": "Rule", "name": "", "apiGroup": "x"}, "subjects": [
        {"kind": "Cat", "name": "a"}, {"kind": "ServiceAccount", "name": "s", "apiGroup": "x"}, {"kind": "User"},
    ]}, {
        ("roleRef.apiGroup", "NotSupported"), ("roleRef.kind", "NotSupported"), ("roleRef.name", "Required"),
        ("subjects[0].kind", "NotSupported"), ("subjects[1].apiGroup", "NotSupported"),
        ("subjects[2].name", "Required"),
    }),
    ("clusterrolebindings", {"roleRef": {"kind": "Role"}, "subjects": [{"kind": "ServiceAccount", "name": "s"}]}, {
        ("roleRef.kind", "NotSupported"), ("subjects[0].namespace", "Required"),
    }),
    ("priorityclasses", {"value": 1_000_000_001}, {("value", "Forbidden")}),
    ("priorityclasses", {"preemptionPolicy": "Push"}, {("preemptionPolicy", "NotSupported")}),
    ("storageclasses", {"provisioner": "", "reclaimPolicy": "Recycle", "volumeBindingMode": "Later"}, {
        ("provisioner", "Required"), ("reclaimPolicy", "NotSupported"), ("volumeBindingMode", "NotSupported"),
    }),
    ("volumeattachments", {"spec": {"attacher": "", "nodeName": "", "source": {"persistentVolumeName": None}}}, {
        ("spec.attacher", "Required"), ("spec.nodeName", "Required"), ("spec.source", "Required"),
    }),
    ("volumeattributesclasses", {"driverName": "", "parameters": None}, {
        ("driverName", "Required"), ("parameters", "Required"),
    }),
    ("csidrivers", {"spec": {"fsGroupPolicy": "X", "volumeLifecycleModes": ["Y"]}}, {
        ("spec.fsGroupPolicy", "NotSupported"), ("spec.volumeLifecycleModes", "NotSupported"),
    }),
    ("csidrivers", {"spec": {"tokenRequests": [{"audience": "a"}, {"audience": "a", "expirationSeconds": 1}]}}, {
        ("spec.tokenRequests[1].audience", "Duplicate"), ("spec.tokenRequests[1].expirationSeconds", "Invalid"),
    }),
    ("csinodes", {"spec": {"drivers": [{"name": "a", "nodeID": ""}, {"name": "a", "nodeID": "n"}]}}, {
        ("spec.drivers[0].nodeID", "Required"), ("spec.drivers[1].name", "Duplicate"),
    }),
    ("csistoragecapacities", {"storageClassName": "", "capacity": "-1Gi"}, {
        ("storageClassName", "Required"), ("capacity", "Invalid"),
    }),
    ("runtimeclasses", {"handler": "UP"}, {("handler", "Invalid")}),
    ("certificatesigningrequests", {"spec": {
        "request": "eA==", "signerName": "plain", "usages": ["fly", "any", "any"], "expirationSeconds": 1,
    }}, {
        ("spec.request", "Invalid"), ("spec.signerName", "Invalid"), ("spec.usages[0]", "NotSupported"),
        ("spec.usages[2]", "Duplicate"), ("spec.expirationSeconds", "Invalid"),
    }),
    ("mutatingwebhookconfigurations", {"webhooks": [{
        "name": "short", "clientConfig": {}, "sideEffects": "Some", "admissionReviewVersions": [],
        "rules": [{**RULE, "operations": ["*", "CREATE"], "resources": []}], "timeoutSeconds": 31,
        "reinvocationPolicy": "Always", "failurePolicy": "Shrug",
    }]}, {
        ("webhooks[0].name", "Invalid"), ("webhooks[0].clientConfig", "Required"),
        ("webhooks[0].sideEffects", "NotSupported"), ("webhooks[0].admissionReviewVersions", "Required"),
        ("webhooks[0].rules[0].operations", "Invalid"), ("webhooks[0].rules[0].resources", "Required"),
        ("webhooks[0].timeoutSeconds", "Invalid"), ("webhooks[0].reinvocationPolicy", "NotSupported"),
        ("webhooks[0].failurePolicy", "NotSupported"),
    }),
    ("validatingwebhookconfigurations", {"webhooks": [{
        "name": "a.b.c", "clientConfig": {"url": "http://x"}, "sideEffects": "None", "admissionReviewVersions": ["v1"],
    }] * 2}, {("webhooks[0].clientConfig.url", "Invalid"), ("webhooks[1].clientConfig.url", "Invalid"),
              ("webhooks[1].name", "Duplicate")}),
    ("validatingadmissionpolicies", {"spec": {"validations": [], "matchConstraints": {"resourceRules": []}}}, {
        ("spec.validations", "Required"), ("spec.auditAnnotations", "Required"),
        ("spec.matchConstraints.resourceRules", "Required"),
    }),
    ("validatingadmissionpolicybindings", {"spec": {"policyName": "", "validationActions": ["Deny", "Warn"],
                                                    "paramRef": {}}}, {
        ("spec.policyName", "Required"), ("spec.validationActions", "Invalid"), ("spec.paramRef", "Required"),
        ("spec.paramRef.parameterNotFoundAction", "Required"),
    }),
    ("customresourcedefinitions", {"spec": {"group": "plain", "scope": "Everywhere", "versions": []}}, {
        ("metadata.name", "Invalid"), ("spec.group", "Invalid"), ("spec.scope", "NotSupported"),
        ("spec.versions", "Required"),
    }),
    ("customresourcedefinitions", {"spec": {"versions": [
        {"name": "v1", "served": True, "storage": False},
        {"name": "v1", "served": True, "storage": False, "schema": {"openAPIV3Schema": {"type": "array"}}},
    ]}}, {
        ("spec.versions", "Invalid"), ("spec.versions[0].schema.openAPIV3Schema", "Required"),
        ("spec.versions[1].name", "Duplicate"), ("spec.versions[1].schema.openAPIV3Schema.type", "Invalid"),
        ("spec.versions[1].schema.openAPIV3Schema.items", "Required"),
    }),
    ("apiservices", {"spec": {"version": "v2", "groupPriorityMinimum": 0, "versionPriority": 5000}}, {
        ("metadata.name", "Invalid"), ("spec.groupPriorityMinimum", "Invalid"), ("spec.versionPriority", "Invalid"),
    }),
    ("flowschemas", {"spec": {"priorityLevelConfiguration": {"name": ""}, "rules": [
        {"subjects": [{"kind": "User"}]},
    ]}}, {
        ("spec.priorityLevelConfiguration.name", "Required"), ("spec.rules[0].subjects[0].user", "Required"),
        ("spec.rules[0]", "Required"),
    }),
    ("prioritylevelconfigurations", {"spec": {"limited": {"limitResponse": {"type": "Queue", "queuing": {
        "queues": 2, "handSize": 4,
    }}}}}, {("spec.limited.limitResponse.queuing.handSize", "Invalid")}),
    ("prioritylevelconfigurations", {"spec": {"limited": None}}, {("spec.limited", "Required")}),
]  # fmt: skip


@pytest.mark.parametrize(("plural", "change", "expected"), [*WORKLOADS, *CORE, *NETWORK, *OTHERS])
def test_what_is_wrong_is_named(plural: str, change: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    assert faults(plural, **body(plural, **change)) == expected


def test_a_claim_template_counts_as_a_volume() -> None:
    mounting = {**CONTAINER, "volumeMounts": [{"name": "data", "mountPath": "/d"}]}
    template = {"metadata": {"labels": SELECTOR["matchLabels"]}, "spec": {"containers": [mounting]}}
    change = {"template": template, "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}
    assert faults("statefulsets", **body("statefulsets", spec=change)) == set()
    path = "spec.template.spec.containers[0].volumeMounts[0].name"
    without = {**change, "volumeClaimTemplates": []}
    assert faults("statefulsets", **body("statefulsets", spec=without)) == {(path, "NotFound")}


@pytest.mark.parametrize(
    ("plural", "name", "expected"),
    [
        ("cronjobs", LONG, {("metadata.name", "Invalid")}),
        ("statefulsets", "a.b", {("metadata.name", "Invalid")}),
        ("deployments", "a.b", set()),
        ("roles", "system:a", set()),
        ("roles", "a/b", {("metadata.name", "Invalid")}),
        ("priorityclasses", "system-mine", {("metadata.name", "Forbidden")}),
        ("ipaddresses", "10.07.0.1", {("metadata.name", "Invalid")}),
    ],
)
def test_names(plural: str, name: str, expected: set[tuple[str, str]]) -> None:
    assert faults(plural, **body(plural), metadata={"name": name}) == expected
