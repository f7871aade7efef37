"""The roles of controllers with service accounts of their own: system:controller:NAME.

Facts of Kubernetes' bootstrap policy (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/controller_policy.go); controllers
that need an API which is not served are left out, and one of our own is added.
"""

from typing import Final

from apimachinery.types.rbac_v1 import PolicyRule
from apiserver.bootstrap.rbac_rules import READ, events, rule

_STORAGE: Final = "storage.k8s.io"
_WORKLOADS: Final = "apps extensions"
_SEE: Final = "list watch"
_BOTH: Final = "patch update"
_ALL: Final = "get list watch create update patch delete"
_OWNED_PODS: Final = rule("list watch create delete patch", "pods")

CONTROLLERS: Final[dict[str, tuple[PolicyRule, ...]]] = {
    "attachdetach-controller": (
        rule(_SEE, "persistentvolumes persistentvolumeclaims"), rule(READ, "nodes"), rule(_BOTH, "nodes/status"),
        rule(_SEE, "pods"), events(), rule("get create delete list watch", "volumeattachments", _STORAGE),
        rule(READ, "csidrivers", _STORAGE), rule(READ, "csinodes", _STORAGE),
    ),
    "certificate-controller": (
        rule("get list watch delete", "certificatesigningrequests", "certificates.k8s.io"),
        rule("update", "certificatesigningrequests/status certificatesigningrequests/approval", "certificates.k8s.io"),
        rule("approve", "signers", "certificates.k8s.io", names="kubernetes.io/kube-apiserver-client-kubelet"),
        rule(
            "sign", "signers", "certificates.k8s.io",
            names="kubernetes.io/legacy-unknown kubernetes.io/kube-apiserver-client "
            "kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving",
        ),
        rule("create", "subjectaccessreviews", "authorization.k8s.io"), events(),
    ),
    "clusterrole-aggregation-controller": (
        rule("escalate get list watch update patch", "clusterroles", "rbac.authorization.k8s.io"),
    ),
    "cronjob-controller": (
        rule("get list watch update", "cronjobs", "batch"), rule(_ALL, "jobs", "batch"),
        rule("update", "cronjobs/status", "batch"), rule("update", "cronjobs/finalizers", "batch"),
        rule("list watch delete", "pods"), events(),
    ),
    "daemon-set-controller": (
        rule(READ, "daemonsets", _WORKLOADS), rule("update", "daemonsets/status", _WORKLOADS),
        rule("update", "daemonsets/finalizers", _WORKLOADS), rule(_SEE, "nodes"), _OWNED_PODS,
        rule("create", "pods/binding"), rule(_ALL, "controllerrevisions", "apps"), events(),
    ),
    "deployment-controller": (
        rule("get list watch update", "deployments", _WORKLOADS), rule("update", "deployments/status", _WORKLOADS),
        rule("update", "deployments/finalizers", _WORKLOADS), rule(_ALL, "replicasets", _WORKLOADS),
        rule("get list watch update", "pods"), events(),
    ),
    "disruption-controller": (
        rule(READ, "deployments", _WORKLOADS), rule(READ, "replicasets", _WORKLOADS),
        rule(READ, "replicationcontrollers"), rule(READ, "poddisruptionbudgets", "policy"),
        rule(READ, "statefulsets", "apps"), rule("update", "poddisruptionbudgets/status", "policy"),
        rule(_BOTH, "pods/status"), rule("get", "*/scale", "*"), events(),
    ),
    "endpoint-controller": (
        rule(READ, "services pods"), rule("get list watch create update delete", "endpoints"),
        rule("create", "endpoints/restricted"), events(),
    ),
    "endpointslice-controller": (
        rule(READ, "services pods nodes"), rule("update", "services/finalizers"),
        rule("get list watch create update delete", "endpointslices", "discovery.k8s.io"), events(),
    ),
    "endpointslicemirroring-controller": (
        rule(READ, "services endpoints"), rule("update", "services/finalizers"), rule("update", "endpoints/finalizers"),
        rule("get list watch create update delete", "endpointslices", "discovery.k8s.io"), events(),
    ),
    "ephemeral-volume-controller": (
        rule(READ, "pods"), rule("update", "pods/finalizers"),
        rule("get list watch create", "persistentvolumeclaims"), events(),
    ),
    "expand-controller": (
        rule("get list watch update patch", "persistentvolumes"), rule(_BOTH, "persistentvolumeclaims/status"),
        rule(READ, "persistentvolumeclaims"), events(), rule("get", "services"),
    ),
    "generic-garbage-collector": (rule("get list watch patch update delete", "*", "*"), events()),
    "horizontal-pod-autoscaler": (
        rule(READ, "horizontalpodautoscalers", "autoscaling"),
        rule("update", "horizontalpodautoscalers/status", "autoscaling"), rule("get update", "*/scale", "*"),
        rule(_SEE, "pods"), rule(_SEE, "pods", "metrics.k8s.io"), rule(READ, "*", "custom.metrics.k8s.io"),
        rule(READ, "*", "external.metrics.k8s.io"), events(),
    ),
    "job-controller": (
        rule("get list watch update patch", "jobs", "batch"), rule("update", "jobs/status", "batch"),
        rule("update", "jobs/finalizers", "batch"), _OWNED_PODS, events(),
    ),
    "legacy-service-account-token-cleaner": (
        rule("get", "configmaps", names="kube-apiserver-legacy-service-account-token-tracking"),
        rule("patch delete", "secrets"),
    ),
    "kubelet-serving-certificate-approver": (  # not one of Kubernetes'
        rule(READ, "certificatesigningrequests", "certificates.k8s.io"),
        rule("update", "certificatesigningrequests/approval", "certificates.k8s.io"),
        rule("approve", "signers", "certificates.k8s.io", names="kubernetes.io/kubelet-serving"),
        rule(_SEE, "nodes services"), rule(_SEE, "endpointslices", "discovery.k8s.io"),
    ),
    "namespace-controller": (
        rule("get list watch delete", "namespaces"), rule("update", "namespaces/finalize namespaces/status"),
        rule("get list watch delete deletecollection", "*", "*"),
    ),
    "node-controller": (
        rule("get list watch update delete patch", "nodes"), rule(_BOTH, "nodes/status"), rule(_BOTH, "pods/status"),
        rule("list watch get delete", "pods"), events(),
    ),
    "persistent-volume-binder": (
        rule("get list watch update create delete", "persistentvolumes"), rule("update", "persistentvolumes/status"),
        rule("get list watch update", "persistentvolumeclaims"), rule("update", "persistentvolumeclaims/status"),
        rule("list watch get create delete", "pods"), rule(READ, "storageclasses", _STORAGE), rule(_SEE, "nodes"),
        events(), rule("watch", "events"), rule("get", "services"),
    ),
    "pod-garbage-collector": (
        rule("list watch delete", "pods"), rule(READ, "nodes"), rule("patch", "pods/status"),
    ),
    "pv-protection-controller": (rule("get list watch update", "persistentvolumes"), events()),
    "pvc-protection-controller": (
        rule("get list watch update", "persistentvolumeclaims"), rule(READ, "pods"), events(),
    ),
    "replicaset-controller": (
        rule("get list watch update", "replicasets", _WORKLOADS), rule("update", "replicasets/status", _WORKLOADS),
        rule("update", "replicasets/finalizers", _WORKLOADS), _OWNED_PODS, events(),
    ),
    "replication-controller": (
        rule("get list watch update", "replicationcontrollers"), rule("update", "replicationcontrollers/status"),
        rule("update", "replicationcontrollers/finalizers"), _OWNED_PODS, events(),
    ),
    "resourcequota-controller": (rule(_SEE, "*", "*"), rule("update", "resourcequotas/status"), events()),
    "root-ca-cert-publisher": (rule("create update", "configmaps"), events()),
    "route-controller": (rule(_SEE, "nodes"), rule("patch", "nodes/status"), events()),
    "service-account-controller": (rule("create", "serviceaccounts"), events()),
    "service-cidrs-controller": (
        rule("get list watch patch update", "servicecidrs", "networking.k8s.io"),
        rule(_BOTH, "servicecidrs/finalizers", "networking.k8s.io"),
        rule(_BOTH, "servicecidrs/status", "networking.k8s.io"), rule(READ, "ipaddresses", "networking.k8s.io"),
        events(),
    ),
    "service-controller": (
        rule(READ, "services"), rule(_BOTH, "services/status"), rule(_SEE, "nodes"), events(),
    ),
    "statefulset-controller": (
        rule(_SEE, "pods"), rule(READ, "statefulsets", "apps"), rule("update", "statefulsets/status", "apps"),
        rule("update", "statefulsets/finalizers", "apps"), rule("get create delete update patch", "pods"),
        rule(_ALL, "controllerrevisions", "apps"), rule("get create list watch", "persistentvolumeclaims"),
        rule("update delete", "persistentvolumeclaims"), rule("update", "pods/finalizers"), events(),
    ),
    "ttl-after-finished-controller": (rule("get list watch delete", "jobs", "batch"), events()),
    "ttl-controller": (rule("update patch list watch", "nodes"), events()),
    "validatingadmissionpolicy-status-controller": (
        rule(READ, "validatingadmissionpolicies", "admissionregistration.k8s.io"),
        rule("get patch update", "validatingadmissionpolicies/status", "admissionregistration.k8s.io"), events(),
    ),
    "volumeattributesclass-protection-controller": (
        rule(READ, "persistentvolumeclaims"), rule(READ, "persistentvolumes"),
        rule("get list watch update", "volumeattributesclasses", _STORAGE), events(),
    ),
}  # fmt: skip
