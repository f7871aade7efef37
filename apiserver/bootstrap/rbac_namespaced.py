"""The default roles and bindings of kube-system and kube-public.

Facts of Kubernetes' bootstrap policy (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/namespace_policy.go).
"""

from dataclasses import dataclass
from typing import Final

from apimachinery.types.rbac_v1 import PolicyRule
from apiserver.bootstrap.rbac_rules import READ, events, rule

_SYSTEM: Final = "kube-system"


@dataclass(frozen=True)
class NamespacedRole:
    """A role and its binding, which has the role's name unless it says otherwise."""

    namespace: str
    name: str
    rules: tuple[PolicyRule, ...]
    subjects: tuple[str, ...]
    binding: str = ""


def _locking(daemon: str, *accounts: str, more: tuple[PolicyRule, ...] = ()) -> NamespacedRole:
    """The right to be the leader of a daemon by way of a config map, for old versions."""
    may = (rule("watch", "configmaps"), rule("get update", "configmaps", names=daemon), *more)
    subjects = (f"user:system:{daemon}", *(f"account:{account}" for account in (daemon, *accounts)))
    return NamespacedRole(_SYSTEM, f"system::leader-locking-{daemon}", may, subjects)


NAMESPACED: Final = (
    NamespacedRole(
        _SYSTEM, "extension-apiserver-authentication-reader",
        (rule(READ, "configmaps", names="extension-apiserver-authentication"),),
        ("user:system:kube-controller-manager", "user:system:kube-scheduler"),
        binding="system::extension-apiserver-authentication-reader",
    ),
    NamespacedRole(
        _SYSTEM, "system:controller:bootstrap-signer", (rule(READ, "secrets"),), ("account:bootstrap-signer",)
    ),
    NamespacedRole(
        _SYSTEM, "system:controller:cloud-provider", (rule(f"create {READ}", "configmaps"),),
        ("account:cloud-provider",),
    ),
    NamespacedRole(
        _SYSTEM, "system:controller:token-cleaner", (rule(f"{READ} delete", "secrets"), events()),
        ("account:token-cleaner",),
    ),
    NamespacedRole(  # of a name server that runs as a daemon, and registers itself
        _SYSTEM, "peapod:kube-dns",
        (rule("create", "endpoints services"), rule("get update delete", "endpoints services", names="kube-dns")),
        ("user:system:kube-dns",),
    ),
    _locking(
        "kube-controller-manager", "leader-election-controller",
        more=(rule("get watch list create update", "leases", "coordination.k8s.io"),),
    ),
    _locking("kube-scheduler"),
    NamespacedRole(
        "kube-public", "system:controller:bootstrap-signer",
        (rule(READ, "configmaps"), rule("update", "configmaps", names="cluster-info"), events()),
        ("account:bootstrap-signer",),
    ),
)  # fmt: skip
