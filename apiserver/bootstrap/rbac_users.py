"""The cluster roles that users, nodes and daemons have: cluster-admin, admin, edit, view, system:*.

Facts of Kubernetes' bootstrap policy (plugin/pkg/auth/authorizer/rbac/bootstrappolicy, testdata/cluster-roles.yaml);
what is about APIs that are not served stays out of them, except where users may bring those APIs. Ours are
``peapod:node-routes``, for the routes between nodes, and the binding of ``system:kubelet-api-admin``.
"""

from typing import Final

from apiserver.bootstrap.rbac_rules import CHANGE, READ, WRITE, DefaultRole, events, rule, urls

_AUTHENTICATION: Final = "authentication.k8s.io"
_AUTHORIZATION: Final = "authorization.k8s.io"
_CERTIFICATES: Final = "certificates.k8s.io"
_STORAGE: Final = "storage.k8s.io"
_RBAC: Final = "rbac.authorization.k8s.io"
_STREAMS: Final = "pods/attach pods/exec pods/portforward pods/proxy"
_REVIEWS: Final = (
    rule("create", "tokenreviews", _AUTHENTICATION), rule("create", "subjectaccessreviews", _AUTHORIZATION),
)  # fmt: skip

_NAME_SERVER: Final = (
    rule("list watch", "endpoints namespaces services"),
    rule("list watch", "endpointslices", "discovery.k8s.io"),
)
_ADMIN: Final = (
    rule("create", "localsubjectaccessreviews", _AUTHORIZATION),
    rule(f"{READ} {WRITE}", "roles rolebindings", _RBAC),
)
_EDIT: Final = (
    rule(READ, f"{_STREAMS} secrets services/proxy"),
    rule("impersonate", "serviceaccounts"),
    rule(WRITE, f"pods {_STREAMS}"),
    rule("create", "pods/eviction"),
    rule(
        WRITE,
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
        "serviceaccounts services services/proxy",
    ),
    rule("create", "serviceaccounts/token"),
    rule(
        WRITE,
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
        "statefulsets/scale",
        "apps",
    ),
    rule(WRITE, "horizontalpodautoscalers", "autoscaling"),
    rule(WRITE, "cronjobs jobs", "batch"),
    rule(
        WRITE,
        "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets "
        "replicasets/scale replicationcontrollers/scale",
        "extensions",
    ),
    rule(WRITE, "poddisruptionbudgets", "policy"),
    rule(WRITE, "ingresses networkpolicies", "networking.k8s.io"),
    rule(f"{READ} {WRITE}", "leases", "coordination.k8s.io"),
)
_VIEW: Final = (
    rule(
        READ,
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
        "replicationcontrollers/scale serviceaccounts services services/status",
    ),
    rule(
        READ,
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
        "resourcequotas resourcequotas/status",
    ),
    rule(READ, "namespaces"),
    rule(READ, "endpointslices", "discovery.k8s.io"),
    rule(
        READ,
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
        "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
        "apps",
    ),
    rule(READ, "horizontalpodautoscalers horizontalpodautoscalers/status", "autoscaling"),
    rule(READ, "cronjobs cronjobs/status jobs jobs/status", "batch"),
    rule(
        READ,
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status "
        "networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
        "extensions",
    ),
    rule(READ, "poddisruptionbudgets poddisruptionbudgets/status", "policy"),
    rule(READ, "ingresses ingresses/status networkpolicies", "networking.k8s.io"),
)
_MANAGER: Final = (
    events(),
    rule("create", "leases", "coordination.k8s.io"),
    rule("get update", "leases", "coordination.k8s.io", names="kube-controller-manager"),
    rule("create", "secrets serviceaccounts"),
    rule("delete", "secrets"),
    rule("get", "configmaps namespaces secrets serviceaccounts"),
    rule("update", "secrets serviceaccounts"),
    *_REVIEWS,
    rule("list watch", "*", "*"),
    rule("create", "serviceaccounts/token"),
)
_SCHEDULER: Final = (
    events(),
    rule("create", "leases", "coordination.k8s.io"),
    rule("get update", "leases", "coordination.k8s.io", names="kube-scheduler"),
    rule(READ, "nodes"),
    rule("delete get list watch", "pods"),
    rule("create", "bindings pods/binding"),
    rule("patch update", "pods/status"),
    rule(READ, "replicationcontrollers services"),
    rule(READ, "replicasets", "apps extensions"),
    rule(READ, "statefulsets", "apps"),
    rule(READ, "poddisruptionbudgets", "policy"),
    rule(READ, "persistentvolumeclaims persistentvolumes"),
    *_REVIEWS,
    rule(READ, "csinodes", _STORAGE),
    rule(READ, "namespaces"),
    rule(READ, "csidrivers", _STORAGE),
    rule(READ, "csistoragecapacities", _STORAGE),
)
NODE_RULES: Final = (
    rule("create", "tokenreviews", _AUTHENTICATION),
    rule("create", "localsubjectaccessreviews subjectaccessreviews", _AUTHORIZATION),
    rule(READ, "services"),
    rule(f"create {READ}", "nodes"),
    rule("patch update", "nodes/status"),
    rule("patch update", "nodes"),
    rule(CHANGE, "events"),
    rule(READ, "pods"),
    rule("create delete", "pods"),
    rule("patch update", "pods/status"),
    rule("create", "pods/eviction"),
    rule(READ, "configmaps secrets"),
    rule("get", "persistentvolumeclaims persistentvolumes"),
    rule("get", "endpoints"),
    rule(f"create {READ}", "certificatesigningrequests", _CERTIFICATES),
    rule("create delete get patch update", "leases", "coordination.k8s.io"),
    rule("get", "volumeattachments", _STORAGE),
    rule("create", "serviceaccounts/token"),
    rule("get patch update", "persistentvolumeclaims/status"),
    rule(READ, "csidrivers", _STORAGE),
    rule("create delete get patch update", "csinodes", _STORAGE),
    rule(READ, "runtimeclasses", "node.k8s.io"),
)


def _signer(name: str, signer: str) -> DefaultRole:
    may = rule("approve", "signers", _CERTIFICATES, names=f"kubernetes.io/{signer}")
    return DefaultRole(f"system:certificates.k8s.io:{name}", (may,))


def _request(name: str) -> DefaultRole:
    may = rule("create", f"certificatesigningrequests/{name}", _CERTIFICATES)
    return DefaultRole(f"system:certificates.k8s.io:certificatesigningrequests:{name}", (may,))


USERS: Final = (
    DefaultRole("cluster-admin", (rule("*", "*", "*"), urls("*", "*")), subjects=("group:system:masters",)),
    DefaultRole("admin", whole="admin"),
    DefaultRole("edit", part_of="admin", whole="edit"),
    DefaultRole("view", part_of="edit", whole="view"),
    DefaultRole("system:aggregate-to-admin", _ADMIN, part_of="admin"),
    DefaultRole("system:aggregate-to-edit", _EDIT, part_of="edit"),
    DefaultRole("system:aggregate-to-view", _VIEW, part_of="view"),
    DefaultRole("system:auth-delegator", _REVIEWS),
    DefaultRole("system:basic-user", (
        rule("create", "selfsubjectaccessreviews selfsubjectrulesreviews", _AUTHORIZATION),
        rule("create", "selfsubjectreviews", _AUTHENTICATION),
    ), subjects=("group:system:authenticated",)),
    _request("nodeclient"),
    _request("selfnodeclient"),
    _signer("kube-apiserver-client-approver", "kube-apiserver-client"),
    _signer("kube-apiserver-client-kubelet-approver", "kube-apiserver-client-kubelet"),
    _signer("kubelet-serving-approver", "kubelet-serving"),
    _signer("legacy-unknown-approver", "legacy-unknown"),
    DefaultRole("system:discovery", (
        urls("get", "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"),
    ), subjects=("group:system:authenticated",)),
    DefaultRole("system:heapster", (
        rule(READ, "events namespaces nodes pods"), rule(READ, "deployments", "extensions"),
    )),
    DefaultRole("system:kube-aggregator", (rule(READ, "endpoints services"),)),
    DefaultRole("system:kube-controller-manager", _MANAGER, subjects=("user:system:kube-controller-manager",)),
    DefaultRole("system:kube-dns", _NAME_SERVER, subjects=("account:kube-dns",)),
    DefaultRole("system:kube-scheduler", _SCHEDULER, subjects=("user:system:kube-scheduler",)),
    DefaultRole("system:kubelet-api-admin", (
        rule(READ, "nodes"), rule("proxy", "nodes"), rule("*", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
    ), subjects=("user:kube-apiserver-kubelet-client",)),
    DefaultRole("system:monitoring", (
        urls("get", "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),
    ), subjects=("group:system:monitoring",)),
    DefaultRole("system:node", NODE_RULES, subjects=()),
    DefaultRole(  # which may also be a daemon, with a user's certificate
        "peapod:kube-dns", (*_NAME_SERVER, events()), subjects=("account:kube-dns", "user:system:kube-dns")
    ),
    DefaultRole(  # who reads the metrics of these daemons is theirs to ask
        "peapod:endpoint-access", _REVIEWS, subjects=("user:system:kube-proxy", "user:system:kube-dns")
    ),
    DefaultRole(  # for requests through ``nodes/proxy``
        "peapod:proxy-endpoints", (urls("get", "/metrics /proxyMode /table"),),
        subjects=("user:kube-apiserver-kubelet-client",),
    ),
    DefaultRole("peapod:node-routes", (rule(READ, "nodes"),), subjects=("group:system:nodes",)),
    DefaultRole("system:node-bootstrapper", (
        rule(f"create {READ}", "certificatesigningrequests", _CERTIFICATES),
    )),
    DefaultRole("system:node-problem-detector", (rule("get", "nodes"), rule("patch", "nodes/status"), events())),
    DefaultRole("peapod:network-policies", (
        rule("list watch", "namespaces pods"), rule("list watch", "networkpolicies", "networking.k8s.io"),
        rule("get list watch", "nodes"), rule("patch", "nodes/status"),
    ), subjects=("user:system:kube-proxy",)),
    DefaultRole("system:node-proxier", (
        rule("list watch", "endpoints services"), rule(READ, "nodes"), events(),
        rule("list watch", "endpointslices", "discovery.k8s.io"),
    ), subjects=("user:system:kube-proxy",)),
    DefaultRole("system:persistent-volume-provisioner", (
        rule(f"create delete {READ}", "persistentvolumes"), rule(f"{READ} update", "persistentvolumeclaims"),
        rule(READ, "storageclasses", _STORAGE), rule("watch", "events"), events(),
    )),
    DefaultRole("system:public-info-viewer", (
        urls("get", "/healthz /livez /readyz /version /version/"),
    ), subjects=("group:system:authenticated", "group:system:unauthenticated")),
    DefaultRole("system:service-account-issuer-discovery", (
        urls("get", "/.well-known/openid-configuration /openid/v1/jwks"),
    ), subjects=("group:system:serviceaccounts",)),
    DefaultRole("system:volume-scheduler", (
        rule(f"{READ} patch update", "persistentvolumes"), rule(READ, "storageclasses", _STORAGE),
        rule(f"{READ} patch update", "persistentvolumeclaims"),
    ), subjects=("user:system:kube-scheduler",)),
)  # fmt: skip
