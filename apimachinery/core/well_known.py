"""Labels, annotations, taints and finalizers whose names have a meaning, as Kubernetes' reference lists them.

https://kubernetes.io/docs/reference/labels-annotations-taints/
"""

from typing import Final

# -- nodes
NODE_USER_PREFIX: Final = "system:node:"
"""Before a node's name in the user name of its kubelet, which is a member of the group ``NODES_GROUP``."""
NODES_GROUP: Final = "system:nodes"
HOSTNAME_LABEL: Final = "kubernetes.io/hostname"
OS_LABEL: Final = "kubernetes.io/os"
ARCH_LABEL: Final = "kubernetes.io/arch"
BETA_OS_LABEL: Final = "beta.kubernetes.io/os"
BETA_ARCH_LABEL: Final = "beta.kubernetes.io/arch"
NODE_ROLE_PREFIX: Final = "node-role.kubernetes.io/"

NOT_READY_TAINT: Final = "node.kubernetes.io/not-ready"
UNREACHABLE_TAINT: Final = "node.kubernetes.io/unreachable"
UNSCHEDULABLE_TAINT: Final = "node.kubernetes.io/unschedulable"
MEMORY_PRESSURE_TAINT: Final = "node.kubernetes.io/memory-pressure"
DISK_PRESSURE_TAINT: Final = "node.kubernetes.io/disk-pressure"
PID_PRESSURE_TAINT: Final = "node.kubernetes.io/pid-pressure"
NETWORK_UNAVAILABLE_TAINT: Final = "node.kubernetes.io/network-unavailable"

# -- pods
MIRROR_ANNOTATION: Final = "kubernetes.io/config.mirror"
CONFIG_HASH_ANNOTATION: Final = "kubernetes.io/config.hash"
CONFIG_SOURCE_ANNOTATION: Final = "kubernetes.io/config.source"
DEFAULT_CONTAINER_ANNOTATION: Final = "kubectl.kubernetes.io/default-container"
DELETION_COST_ANNOTATION: Final = "controller.kubernetes.io/pod-deletion-cost"
JOB_NAME_LABEL: Final = "batch.kubernetes.io/job-name"
JOB_CONTROLLER_UID_LABEL: Final = "batch.kubernetes.io/controller-uid"

# -- services and their endpoints
SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"
HEADLESS_LABEL: Final = "service.kubernetes.io/headless"
SLICE_MANAGED_BY_LABEL: Final = "endpointslice.kubernetes.io/managed-by"
SKIP_MIRROR_LABEL: Final = "endpointslice.kubernetes.io/skip-mirror"
LAST_CHANGE_TRIGGER_TIME_ANNOTATION: Final = "endpoints.kubernetes.io/last-change-trigger-time"
LEADER_ANNOTATION: Final = "control-plane.alpha.kubernetes.io/leader"
TOLERATE_UNREADY_ANNOTATION: Final = "service.alpha.kubernetes.io/tolerate-unready-endpoints"
CLUSTER_SERVICE_LABEL: Final = "kubernetes.io/cluster-service"
ADDON_NAME_LABEL: Final = "kubernetes.io/name"
INGRESS_CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"
PROXY_PROTOCOL_ANNOTATION: Final = "peapod.io/proxy-protocol"
"""Ours: the version of the PROXY protocol, v1 or v2, that passes the client's address to a service's backends."""
NETWORK_POLICY_CONDITION: Final = "NetworkPolicyEnforced"
"""Ours: the condition with which a node says whether it enforces network policies."""

# -- volumes
STORAGE_CLASS_ANNOTATION: Final = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS_ANNOTATIONS: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
SELECTED_NODE_ANNOTATION: Final = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER_ANNOTATIONS: Final = (
    "volume.kubernetes.io/storage-provisioner",
    "volume.beta.kubernetes.io/storage-provisioner",
)
BIND_COMPLETED_ANNOTATION: Final = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER_ANNOTATION: Final = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY_ANNOTATION: Final = "pv.kubernetes.io/provisioned-by"
PVC_PROTECTION_FINALIZER: Final = "kubernetes.io/pvc-protection"
PV_PROTECTION_FINALIZER: Final = "kubernetes.io/pv-protection"
IN_TREE_PROVISIONER_PREFIX: Final = "kubernetes.io/"

# -- namespaces, accounts, the cluster's own objects
NAMESPACE_NAME_LABEL: Final = "kubernetes.io/metadata.name"
DESCRIPTION_ANNOTATION: Final = "kubernetes.io/description"
SERVICE_ACCOUNT_NAME_ANNOTATION: Final = "kubernetes.io/service-account.name"
SERVICE_ACCOUNT_UID_ANNOTATION: Final = "kubernetes.io/service-account.uid"
SERVICE_ACCOUNT_TOKEN_TYPE: Final = "kubernetes.io/service-account-token"
BOOTSTRAPPING_LABEL: Final = "kubernetes.io/bootstrapping"
RBAC_AUTOUPDATE_ANNOTATION: Final = "rbac.authorization.kubernetes.io/autoupdate"
FLOW_CONTROL_AUTOUPDATE_ANNOTATION: Final = "apf.kubernetes.io/autoupdate-spec"
AUTOMANAGED_LABEL: Final = "kube-aggregator.kubernetes.io/automanaged"
APISERVER_IDENTITY_LABEL: Final = "apiserver.kubernetes.io/identity"
INITIAL_EVENTS_END_ANNOTATION: Final = "k8s.io/initial-events-end"
