"""The smallest valid object of every kind that the apiserver accepts, as a client sends it."""

import base64
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

CONTAINER = {"name": "c", "image": "busybox:1.36"}
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [CONTAINER]}}
JOB_TEMPLATE = {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}
SELECTOR = {"matchLabels": {"app": "a"}}
METRIC = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}


@dataclass(frozen=True)
class Kind:
    """A kind's path and its smallest valid object without metadata; ``name`` if not any name is valid."""

    group: str
    version: str
    plural: str
    kind: str
    body: dict[str, Any] = field(default_factory=dict)
    namespaced: bool = True
    name: str = "a"

    def __str__(self) -> str:
        return f"{self.plural}.{self.version}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str) -> str:
        """Of the collection."""
        root = f"/apis/{self.api_version}" if self.group else "/api/v1"
        return f"{root}/namespaces/{namespace}/{self.plural}" if self.namespaced else f"{root}/{self.plural}"

    def manifest(self, **more: Any) -> dict[str, Any]:
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": {"name": self.name},
            **self.body,
            **more,
        }


@cache
def certificate_request() -> str:
    """A signing request in PEM, as base64."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "u")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return base64.b64encode(request.public_bytes(Encoding.PEM)).decode()


def _webhook() -> dict[str, Any]:
    return {
        "name": "a.example.com",
        "clientConfig": {"url": "https://example.com"},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "rules": [RULE],
    }


def _definition() -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object"}}
    return {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "wishes", "kind": "Wish"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }


_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"
_VOLUME = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}
_LIMITED = {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}

KINDS = (
    Kind("", "v1", "limitranges", "LimitRange", {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}}),
    Kind("", "v1", "persistentvolumes", "PersistentVolume", {"spec": _VOLUME}, namespaced=False),
    Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }),
    Kind("", "v1", "podtemplates", "PodTemplate", {"template": TEMPLATE}),
    Kind("", "v1", "resourcequotas", "ResourceQuota", {"spec": {"hard": {"pods": "3"}}}),
    Kind("", "v1", "serviceaccounts", "ServiceAccount"),
    Kind("apps", "v1", "controllerrevisions", "ControllerRevision", {"data": {"a": 1}, "revision": 1}),
    Kind("apps", "v1", "daemonsets", "DaemonSet", {"spec": {"selector": SELECTOR, "template": TEMPLATE}}),
    Kind("apps", "v1", "deployments", "Deployment", {"spec": {"selector": SELECTOR, "template": TEMPLATE}}),
    Kind("apps", "v1", "replicasets", "ReplicaSet", {"spec": {"selector": SELECTOR, "template": TEMPLATE}}),
    Kind("apps", "v1", "statefulsets", "StatefulSet", {
        "spec": {"selector": SELECTOR, "template": TEMPLATE, "serviceName": "a"},
    }),
    Kind("batch", "v1", "jobs", "Job", {"spec": {"template": JOB_TEMPLATE}}),
    Kind("batch", "v1", "cronjobs", "CronJob", {
        "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": JOB_TEMPLATE}}},
    }),
    Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", {
        "spec": {"scaleTargetRef": TARGET, "maxReplicas": 3, "metrics": [METRIC]},
    }),
    Kind("autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", {
        "spec": {"scaleTargetRef": TARGET, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50},
    }),
    Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", {
        "addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"]}], "ports": [{"port": 80}],
    }),
    Kind("events.k8s.io", "v1", "events", "Event", {
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "c", "reportingInstance": "i",
        "action": "a", "reason": "Because", "type": "Normal",
    }),
    Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", {
        "spec": {"minAvailable": 1, "selector": SELECTOR},
    }),
    Kind("networking.k8s.io", "v1", "ingresses", "Ingress", {
        "spec": {"defaultBackend": {"service": {"name": "a", "port": {"number": 80}}}},
    }),
    Kind("networking.k8s.io", "v1", "ingressclasses", "IngressClass", {
        "spec": {"controller": "example.com/c"},
    }, namespaced=False),
    Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", {"spec": {"podSelector": {}}}),
    Kind("networking.k8s.io", "v1", "ipaddresses", "IPAddress", {
        "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "a"}},
    }, namespaced=False, name="10.7.7.7"),
    Kind("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", {
        "spec": {"cidrs": ["10.7.0.0/16"]},
    }, namespaced=False),
    Kind(_RBAC, "v1", "roles", "Role", {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
    Kind(_RBAC, "v1", "clusterroles", "ClusterRole", {
        "rules": [{"nonResourceURLs": ["/healthz"], "verbs": ["get"]}],
    }, namespaced=False),
    Kind(_RBAC, "v1", "rolebindings", "RoleBinding", {
        "roleRef": {"kind": "Role", "name": "a"}, "subjects": [{"kind": "User", "name": "u"}],
    }),
    Kind(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", {
        "roleRef": {"kind": "ClusterRole", "name": "a"}, "subjects": [{"kind": "Group", "name": "g"}],
    }, namespaced=False),
    Kind("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", {"value": 5}, namespaced=False),
    Kind("storage.k8s.io", "v1", "storageclasses", "StorageClass", {
        "provisioner": "example.com/p",
    }, namespaced=False),
    Kind("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", {
        "spec": {"attacher": "a.example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}},
    }, namespaced=False),
    Kind("storage.k8s.io", "v1", "volumeattributesclasses", "VolumeAttributesClass", {
        "driverName": "a.example.com", "parameters": {"a": "1"},
    }, namespaced=False),
    Kind("storage.k8s.io", "v1", "csidrivers", "CSIDriver", {"spec": {}}, namespaced=False),
    Kind("storage.k8s.io", "v1", "csinodes", "CSINode", {
        "spec": {"drivers": [{"name": "a.example.com", "nodeID": "n"}]},
    }, namespaced=False),
    Kind("storage.k8s.io", "v1", "csistoragecapacities", "CSIStorageCapacity", {
        "storageClassName": "a", "capacity": "1Gi",
    }),
    Kind("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", {"handler": "runc"}, namespaced=False),
    Kind("certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest", {
        "spec": {"request": certificate_request(), "signerName": "example.com/s", "usages": ["client auth"]},
    }, namespaced=False),
    Kind(_ADMISSION, "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", {
        "webhooks": [_webhook()],
    }, namespaced=False),
    Kind(_ADMISSION, "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", {
        "webhooks": [_webhook()],
    }, namespaced=False),
    Kind(_ADMISSION, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", {
        "spec": {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "true"}]},
    }, namespaced=False),
    Kind(_ADMISSION, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", {
        "spec": {"policyName": "a", "validationActions": ["Deny"]},
    }, namespaced=False),
    Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", {
        "spec": _definition(),
    }, namespaced=False, name="wishes.example.com"),
    Kind("apiregistration.k8s.io", "v1", "apiservices", "APIService", {
        "spec": {"group": "example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10},
    }, namespaced=False, name="v1.example.com"),
    Kind(_FLOW, "v1", "flowschemas", "FlowSchema", {
        "spec": {"priorityLevelConfiguration": {"name": "a"}},
    }, namespaced=False),
    Kind(_FLOW, "v1", "prioritylevelconfigurations", "PriorityLevelConfiguration", {
        "spec": _LIMITED,
    }, namespaced=False),
)  # fmt: skip


def kind(plural: str, version: str = "") -> Kind:
    """The kind with that plural, and that version if one is given."""
    return next(candidate for candidate in KINDS if candidate.plural == plural and version in ("", candidate.version))
