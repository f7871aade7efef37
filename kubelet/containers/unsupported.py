"""Settings of a pod that this kubelet cannot bring about. Pure.

A container that asks for one waits with that reason: it must not run as something else than its spec says. What the
engine cannot do for its security is in ``kubelet.runtime.security``.
"""

from collections.abc import Iterator
from typing import Final

from apimachinery.types import core_v1
from kubelet.runtime.security import Unsupported

DEFAULT_HANDLERS: Final = ("", "runc")
"""Names of the engine's own runtime, as RuntimeClasses give them."""


def check(pod: core_v1.Pod, container: core_v1.Container, runtime_handler: str) -> None:
    """Raise ``Unsupported`` for the first such setting. ``runtime_handler`` is that of the pod's RuntimeClass."""
    for reason in _reasons(pod.spec, container, runtime_handler):
        raise Unsupported(reason)


def _reasons(spec: core_v1.PodSpec, container: core_v1.Container, runtime_handler: str) -> Iterator[str]:
    if runtime_handler not in DEFAULT_HANDLERS:
        yield f'failed to get sandbox runtime: no runtime for "{runtime_handler}" is configured'
    if spec.resources is not None and (spec.resources.limits or spec.resources.requests):
        yield "spec.resources: this node gives resources to containers, not to a pod as a whole"
    if spec.resource_claims or container.resources.claims:
        yield "resourceClaims: this node has no driver for dynamic resource allocation"
    if container.restart_policy_rules:
        yield "restartPolicyRules: this kubelet restarts a container by its restartPolicy only"
    if container.volume_devices:
        yield "volumeDevices: this kubelet does not give block devices to containers"
    for mount in container.volume_mounts or ():
        if mount.recursive_read_only == "Enabled":
            yield f"volumeMounts: {mount.mount_path}: recursive read-only mounts are not supported"
    for variable in container.env or ():
        if variable.value_from is not None and variable.value_from.file_key_ref is not None:
            yield f"env: {variable.name}: fileKeyRef is not supported"
