"""Which type belongs to which kind, and the path at which its resource is served."""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from apimachinery.types import (
    admissionregistration_v1,
    apiextensions_v1,
    apiregistration_v1,
    apps_v1,
    authentication_v1,
    authorization_v1,
    autoscaling_v1,
    autoscaling_v2,
    batch_v1,
    certificates_v1,
    coordination_v1,
    core_v1,
    discovery_v1,
    events_v1,
    flowcontrol_v1,
    metrics_v1beta1,
    networking_v1,
    node_v1,
    policy_v1,
    rbac_v1,
    scheduling_v1,
    storage_v1,
)
from apimachinery.types.objects import KubeObject


@dataclass(frozen=True, slots=True)
class Resource:
    """Where objects of one kind are served."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, an object, or an object's subresource."""
        parts = [self.root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [self.plural, *(part for part in (name, subresource) if part)]
        return "/".join(parts)


_ROWS: Final[tuple[tuple[type[KubeObject], str, bool], ...]] = (
    (core_v1.Binding, "bindings", True),
    (core_v1.ComponentStatus, "componentstatuses", False),
    (core_v1.ConfigMap, "configmaps", True),
    (core_v1.Endpoints, "endpoints", True),
    (core_v1.Event, "events", True),
    (core_v1.LimitRange, "limitranges", True),
    (core_v1.Namespace, "namespaces", False),
    (core_v1.Node, "nodes", False),
    (core_v1.PersistentVolume, "persistentvolumes", False),
    (core_v1.PersistentVolumeClaim, "persistentvolumeclaims", True),
    (core_v1.Pod, "pods", True),
    (core_v1.PodTemplate, "podtemplates", True),
    (core_v1.ReplicationController, "replicationcontrollers", True),
    (core_v1.ResourceQuota, "resourcequotas", True),
    (core_v1.Secret, "secrets", True),
    (core_v1.Service, "services", True),
    (core_v1.ServiceAccount, "serviceaccounts", True),
    (admissionregistration_v1.MutatingWebhookConfiguration, "mutatingwebhookconfigurations", False),
    (admissionregistration_v1.ValidatingAdmissionPolicy, "validatingadmissionpolicies", False),
    (admissionregistration_v1.ValidatingAdmissionPolicyBinding, "validatingadmissionpolicybindings", False),
    (admissionregistration_v1.ValidatingWebhookConfiguration, "validatingwebhookconfigurations", False),
    (apiextensions_v1.CustomResourceDefinition, "customresourcedefinitions", False),
    (apiregistration_v1.APIService, "apiservices", False),
    (apps_v1.ControllerRevision, "controllerrevisions", True),
    (apps_v1.DaemonSet, "daemonsets", True),
    (apps_v1.Deployment, "deployments", True),
    (apps_v1.ReplicaSet, "replicasets", True),
    (apps_v1.StatefulSet, "statefulsets", True),
    (authentication_v1.SelfSubjectReview, "selfsubjectreviews", False),
    (authentication_v1.TokenReview, "tokenreviews", False),
    (authorization_v1.LocalSubjectAccessReview, "localsubjectaccessreviews", True),
    (authorization_v1.SelfSubjectAccessReview, "selfsubjectaccessreviews", False),
    (authorization_v1.SelfSubjectRulesReview, "selfsubjectrulesreviews", False),
    (authorization_v1.SubjectAccessReview, "subjectaccessreviews", False),
    (autoscaling_v1.HorizontalPodAutoscaler, "horizontalpodautoscalers", True),
    (autoscaling_v2.HorizontalPodAutoscaler, "horizontalpodautoscalers", True),
    (batch_v1.CronJob, "cronjobs", True),
    (batch_v1.Job, "jobs", True),
    (certificates_v1.CertificateSigningRequest, "certificatesigningrequests", False),
    (coordination_v1.Lease, "leases", True),
    (discovery_v1.EndpointSlice, "endpointslices", True),
    (events_v1.Event, "events", True),
    (flowcontrol_v1.FlowSchema, "flowschemas", False),
    (flowcontrol_v1.PriorityLevelConfiguration, "prioritylevelconfigurations", False),
    (metrics_v1beta1.NodeMetrics, "nodes", False),
    (metrics_v1beta1.PodMetrics, "pods", True),
    (networking_v1.Ingress, "ingresses", True),
    (networking_v1.IngressClass, "ingressclasses", False),
    (networking_v1.IPAddress, "ipaddresses", False),
    (networking_v1.NetworkPolicy, "networkpolicies", True),
    (networking_v1.ServiceCIDR, "servicecidrs", False),
    (node_v1.RuntimeClass, "runtimeclasses", False),
    (policy_v1.PodDisruptionBudget, "poddisruptionbudgets", True),
    (rbac_v1.ClusterRole, "clusterroles", False),
    (rbac_v1.ClusterRoleBinding, "clusterrolebindings", False),
    (rbac_v1.Role, "roles", True),
    (rbac_v1.RoleBinding, "rolebindings", True),
    (scheduling_v1.PriorityClass, "priorityclasses", False),
    (storage_v1.CSIDriver, "csidrivers", False),
    (storage_v1.CSINode, "csinodes", False),
    (storage_v1.CSIStorageCapacity, "csistoragecapacities", True),
    (storage_v1.StorageClass, "storageclasses", False),
    (storage_v1.VolumeAttachment, "volumeattachments", False),
    (storage_v1.VolumeAttributesClass, "volumeattributesclasses", False),
)


@cache
def _resources() -> dict[type[KubeObject], Resource]:
    resources = {}
    for cls, plural, namespaced in _ROWS:
        blank = cls()
        group, _, version = (blank.api_version or "").rpartition("/")
        resources[cls] = Resource(group, version, blank.kind or "", plural, namespaced)
    return resources


def resource_of(cls: type[KubeObject]) -> Resource:
    """The resource that holds objects of a type.

    Raises:
        KeyError: the type is not the kind of a served resource.
    """
    return _resources()[cls]


@lru_cache(maxsize=4096)  # bounded: requests name kinds that do not exist
def type_of(api_version: str, kind: str) -> type[KubeObject] | None:
    """The type of one kind, or None if no served resource holds it."""
    for cls, resource in _resources().items():
        if (resource.api_version, resource.kind) == (api_version, kind):
            return cls
    return None
