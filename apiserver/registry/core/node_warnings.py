"""What is accepted of a pod and that the nodes of this cluster cannot do: a container that asks for it waits, and its
status says why (``CreateContainerConfigError``)."""

from collections.abc import Iterator
from typing import Final

from apimachinery.fields import Path
from apimachinery.types import core_v1 as v1

_WAITS: Final = "the kubelet does not start containers that ask for it"


def node_warnings(path: Path, spec: v1.PodSpec) -> Iterator[str]:
    """Of a pod spec at ``path``."""
    context = spec.security_context or v1.PodSecurityContext()
    if spec.resource_claims:
        yield f"{path / 'resourceClaims'}: no node has a driver for dynamic resource allocation; {_WAITS}"
    if spec.resources is not None and (spec.resources.limits or spec.resources.requests):
        yield f"{path / 'resources'}: nodes give resources to containers, not to a pod as a whole; {_WAITS}"
    if spec.host_users is False:
        yield f"{path / 'hostUsers'}: nodes have no user namespace per pod; {_WAITS}"
    if context.windows_options is not None:
        yield f"{path / 'securityContext' / 'windowsOptions'}: nodes run Linux; {_WAITS}"
    if context.supplemental_groups_policy == "Strict":
        place = path / "securityContext" / "supplementalGroupsPolicy"
        yield f"{place}: nodes always add the groups of the image's user; {_WAITS}"
    for field, group in (("initContainers", spec.init_containers or ()), ("containers", spec.containers)):
        for i, container in enumerate(group):
            yield from _container((path / field)[i], container)


def _container(path: Path, container: v1.Container) -> Iterator[str]:
    if container.volume_devices:
        yield f"{path / 'volumeDevices'}: nodes do not give block devices to containers; {_WAITS}"
    if container.restart_policy_rules:
        yield f"{path / 'restartPolicyRules'}: nodes restart a container by its restartPolicy only; {_WAITS}"
    context = container.security_context
    if context is not None and context.windows_options is not None:
        yield f"{path / 'securityContext' / 'windowsOptions'}: nodes run Linux; {_WAITS}"
    for i, mount in enumerate(container.volume_mounts or ()):
        if mount.recursive_read_only == "Enabled":
            place = (path / "volumeMounts")[i] / "recursiveReadOnly"
            yield f"{place}: nodes cannot mount read-only recursively; {_WAITS}"
    for i, variable in enumerate(container.env or ()):
        if variable.value_from is not None and variable.value_from.file_key_ref is not None:
            yield f"{(path / 'env')[i] / 'valueFrom' / 'fileKeyRef'}: nodes do not read it; {_WAITS}"
