"""Restricted: current hardening, at some cost of comfort."""

from typing import Final

from apimachinery.types.core_v1 import PodSpec, Volume
from apimachinery.types.meta_v1 import ObjectMeta
from apiserver.admission.pod_security import baseline
from apiserver.admission.pod_security.findings import (
    Check,
    Violation,
    containers_of,
    contexts_of,
    is_windows,
    named,
    plural,
    quoted,
    setters,
)

_ALLOWED_VOLUMES: Final = (
    "config_map", "csi", "downward_api", "empty_dir", "ephemeral", "persistent_volume_claim", "projected", "secret",
)  # fmt: skip
_RESTRICTED_VOLUMES: Final = {
    "host_path": "hostPath", "gce_persistent_disk": "gcePersistentDisk",
    "aws_elastic_block_store": "awsElasticBlockStore", "git_repo": "gitRepo", "nfs": "nfs", "iscsi": "iscsi",
    "glusterfs": "glusterfs", "rbd": "rbd", "flex_volume": "flexVolume", "cinder": "cinder", "cephfs": "cephfs",
    "flocker": "flocker", "fc": "fc", "azure_file": "azureFile", "vsphere_volume": "vsphereVolume",
    "quobyte": "quobyte", "azure_disk": "azureDisk", "photon_persistent_disk": "photonPersistentDisk",
    "portworx_volume": "portworxVolume", "scale_io": "scaleIO", "storageos": "storageos",
}  # fmt: skip
_NET_BIND_SERVICE: Final = "NET_BIND_SERVICE"


def unless_windows(check: Check) -> Check:
    """The check for pods that are not declared to run on Windows, which does not have what it is about."""
    return lambda metadata, spec: None if is_windows(spec) else check(metadata, spec)


def privilege_escalation(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    names = [
        container.name
        for container in containers_of(spec)
        if container.security_context is None or container.security_context.allow_privilege_escalation is not False
    ]
    if not names:
        return None
    detail = f"{named(names)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail)


def capabilities(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    not_dropping, adding, added = [], [], set[str]()
    for container in containers_of(spec):
        own = container.security_context.capabilities if container.security_context else None
        if own is None or "ALL" not in (own.drop or ()):
            not_dropping.append(container.name)
        if own is not None and (forbidden := set(own.add or ()) - {_NET_BIND_SERVICE}):
            adding.append(container.name)
            added |= forbidden
    details = []
    if not_dropping:
        details.append(f'{named(not_dropping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        details.append(f"{named(adding)} must not include {quoted(sorted(added))} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def volume_types(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    restricted = [
        volume for volume in spec.volumes or () if all(getattr(volume, kind) is None for kind in _ALLOWED_VOLUMES)
    ]
    if not restricted:
        return None
    count, types = len(restricted), sorted({_type_of(volume) for volume in restricted})
    detail = (
        f"{plural(count, 'volume')} {quoted(volume.name for volume in restricted)} {plural(count, 'uses', 'use')} "
        f"{plural(len(types), 'restricted volume type')} {quoted(types)}"
    )
    return Violation("restricted volume types", detail)


def _type_of(volume: Volume) -> str:
    return next((name for kind, name in _RESTRICTED_VOLUMES.items() if getattr(volume, kind) is not None), "unknown")


def run_as_non_root(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    own = spec.security_context.run_as_non_root if spec.security_context else None
    as_root = [name for name, context in contexts_of(spec) if context.run_as_non_root is False]
    reason = "runAsNonRoot != true"
    if own is False or as_root:
        who = setters(own is False, as_root)
        return Violation(reason, f"{who} must not set securityContext.runAsNonRoot=false")
    undecided = [
        container.name
        for container in containers_of(spec)
        if container.security_context is None or container.security_context.run_as_non_root is None
    ]
    if own or not undecided:
        return None
    return Violation(reason, f"pod or {named(undecided)} must set securityContext.runAsNonRoot=true")


def run_as_user(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    own = spec.security_context.run_as_user if spec.security_context else None
    names = [name for name, context in contexts_of(spec) if context.run_as_user == 0]
    who = setters(own == 0, names)
    return Violation("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def seccomp_profile(metadata: ObjectMeta, spec: PodSpec) -> Violation | None:
    if (violation := baseline.seccomp_profile(metadata, spec)) is not None:
        return violation
    if spec.security_context is not None and spec.security_context.seccomp_profile is not None:
        return None
    undecided = [
        container.name
        for container in containers_of(spec)
        if container.security_context is None or container.security_context.seccomp_profile is None
    ]
    if not undecided:
        return None
    detail = (
        f'pod or {named(undecided)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    )
    return Violation("seccompProfile", detail)
