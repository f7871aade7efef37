"""What Kubernetes fills into a pod's spec when a client leaves it out (core/v1 defaults.go)."""

from collections.abc import Iterator

from apimachinery.types import core_v1 as v1
from apiserver.registry.core.resources_validation import canonical
from apiserver.registry.core.volume_defaults import default_volume, pull_policy


def default_spec(spec: v1.PodSpec) -> None:
    """What holds for pods and for the templates of pods."""
    spec.restart_policy = spec.restart_policy or "Always"
    spec.dns_policy = spec.dns_policy or "ClusterFirst"
    spec.scheduler_name = spec.scheduler_name or "default-scheduler"
    if spec.termination_grace_period_seconds is None:
        spec.termination_grace_period_seconds = 30
    if spec.security_context is None:
        spec.security_context = v1.PodSecurityContext()
    if spec.service_account_name:  # two spellings of one thing, both served
        spec.service_account = spec.service_account_name
    elif spec.service_account:
        spec.service_account_name = spec.service_account
    for container in containers(spec):
        _container(container)
    for volume in spec.volumes or ():
        default_volume(volume)


def default_pod(spec: v1.PodSpec) -> None:
    """What holds for pods alone."""
    default_spec(spec)
    if spec.enable_service_links is None:
        spec.enable_service_links = True
    for container in containers(spec):
        if limits := container.resources.limits:
            container.resources.requests = {**limits, **(container.resources.requests or {})}
        for port in (container.ports or ()) if spec.host_network else ():
            port.host_port = port.host_port or port.container_port


def containers(spec: v1.PodSpec) -> Iterator[v1.Container]:
    """The init and application containers, in the order in which they start."""
    yield from spec.init_containers or ()
    yield from spec.containers


def _container(container: v1.Container) -> None:
    if not container.image_pull_policy:
        container.image_pull_policy = pull_policy(container.image or "")
    canonical(container.resources.limits)
    canonical(container.resources.requests)
    container.termination_message_path = container.termination_message_path or "/dev/termination-log"
    container.termination_message_policy = container.termination_message_policy or "File"
    for port in container.ports or ():
        port.protocol = port.protocol or "TCP"
    for probe in (container.liveness_probe, container.readiness_probe, container.startup_probe):
        if probe is not None:
            _probe(probe)
    if container.lifecycle is not None:
        for hook in (container.lifecycle.post_start, container.lifecycle.pre_stop):
            if hook is not None and hook.http_get is not None:
                _http_get(hook.http_get)
    for variable in container.env or ():
        source = variable.value_from
        if source is not None and source.field_ref is not None:
            source.field_ref.api_version = source.field_ref.api_version or "v1"


def _probe(probe: v1.Probe) -> None:
    probe.timeout_seconds = probe.timeout_seconds or 1
    probe.period_seconds = probe.period_seconds or 10
    probe.success_threshold = probe.success_threshold or 1
    probe.failure_threshold = probe.failure_threshold or 3
    if probe.http_get is not None:
        _http_get(probe.http_get)
    if probe.grpc is not None and probe.grpc.service is None:
        probe.grpc.service = ""


def _http_get(action: v1.HTTPGetAction) -> None:
    action.path = action.path or "/"
    action.scheme = action.scheme or "HTTP"
