"""What Kubernetes fills into a pod's spec, and into the sources of volumes, when a client omits it (core/v1 defaults.go)."""

from collections.abc import Iterator, Mapping
from typing import Final

from apimachinery.types import core_v1 as v1
from apiserver.registry.core.resources_validation import canonical


def default_spec(spec: v1.PodSpec) -> None:
    """The defaults of pods and of pod templates."""
    spec.restart_policy = spec.restart_policy or "Always"
    spec.dns_policy = spec.dns_policy or "ClusterFirst"
    spec.scheduler_name = spec.scheduler_name or "default-scheduler"
    if spec.termination_grace_period_seconds is None:
        spec.termination_grace_period_seconds = 30
    if spec.security_context is None:
        spec.security_context = v1.PodSecurityContext()
    if spec.service_account_name:  # two names of one field, both served
        spec.service_account = spec.service_account_name
    elif spec.service_account:
        spec.service_account_name = spec.service_account
    for container in containers(spec):
        _container(container)
    for volume in spec.volumes or ():
        default_volume(volume)


def default_pod(spec: v1.PodSpec) -> None:
    """The defaults of pods alone."""
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


DEFAULT_MODE: Final = 0o644
TOKEN_SECONDS: Final = 3600

# source -> field -> its default; core/v1 TestWorkloadDefaults lists them
_FIXED: Final[Mapping[str, Mapping[str, object]]] = {
    "azure_disk": {"caching_mode": "ReadWrite", "fs_type": "ext4", "read_only": False, "kind": "Shared"},
    "config_map": {"default_mode": DEFAULT_MODE},
    "downward_api": {"default_mode": DEFAULT_MODE},
    "host_path": {"type": ""},
    "iscsi": {"iscsi_interface": "default"},
    "projected": {"default_mode": DEFAULT_MODE},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "scale_io": {"storage_mode": "ThinProvisioned", "fs_type": "xfs"},
    "secret": {"default_mode": DEFAULT_MODE},
}
_SOURCES: Final = tuple(field for field in v1.Volume.__struct_fields__ if field != "name")


def default_sources(union: v1.Volume | v1.PersistentVolumeSpec) -> None:
    """The fixed defaults of whatever sources a Volume or a PersistentVolumeSpec has."""
    for source, defaults in _FIXED.items():
        configured = getattr(union, source, None)
        if configured is None:
            continue
        for field, value in defaults.items():
            if getattr(configured, field) is None:
                setattr(configured, field, value)


def default_volume(volume: v1.Volume) -> None:
    """A volume of a pod; one without a source is an empty directory."""
    if all(getattr(volume, source) is None for source in _SOURCES):
        volume.empty_dir = v1.EmptyDirVolumeSource()
        return
    default_sources(volume)
    if volume.downward_api is not None:
        _downward(volume.downward_api.items)
    for projection in (volume.projected.sources or ()) if volume.projected is not None else ():
        token = projection.service_account_token
        if token is not None and token.expiration_seconds is None:
            token.expiration_seconds = TOKEN_SECONDS
        if projection.downward_api is not None:
            _downward(projection.downward_api.items)
    if volume.ephemeral is not None and volume.ephemeral.volume_claim_template is not None:
        claim = volume.ephemeral.volume_claim_template.spec
        claim.volume_mode = claim.volume_mode or "Filesystem"
    if volume.image is not None and not volume.image.pull_policy:
        volume.image.pull_policy = pull_policy(volume.image.reference or "")


def pull_policy(image: str) -> str:
    """An image that may move (tag ``latest``, or neither tag nor digest) is pulled at each start."""
    name, at, _ = image.rsplit("/", 1)[-1].partition("@")
    tag = name.partition(":")[2]
    return "Always" if tag == "latest" or not (tag or at) else "IfNotPresent"


def _downward(items: list[v1.DownwardAPIVolumeFile] | None) -> None:
    for item in items or ():
        if item.field_ref is not None:
            item.field_ref.api_version = item.field_ref.api_version or "v1"
