"""What a pod's spec must look like (core/validation): containers, ports, volumes, and how they fit together."""

from collections.abc import Iterable, Iterator
from typing import Final

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1
from apiserver.registry import field_rules
from apiserver.registry.core.affinity_validation import validate_placement
from apiserver.registry.core.pod_settings_validation import validate_container_settings, validate_settings
from apiserver.registry.core.resources_validation import validate_requirements
from apiserver.registry.core.volume_validation import validate_mounts, validate_volumes
from apiserver.registry.field_rules import not_negative

RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
DNS_POLICIES: Final = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
PROTOCOLS: Final = ("TCP", "UDP", "SCTP")


def validate_spec(path: Path, spec: v1.PodSpec) -> Iterator[FieldError]:
    """Every fault of a pod's spec, or of a template's."""
    volumes = list(spec.volumes or ())
    yield from validate_volumes(path / "volumes", volumes)
    volume_names = {volume.name for volume in volumes}
    if not spec.containers:
        yield (path / "containers").required()
    taken: set[str] = set()
    for field, containers in (("containers", spec.containers), ("initContainers", spec.init_containers or ())):
        for i, container in enumerate(containers):
            yield from _container((path / field)[i], container, volume_names, taken)
    yield from _host_ports(path / "containers", spec)
    yield from field_rules.required(path / "restartPolicy", spec.restart_policy, RESTART_POLICIES)
    yield from field_rules.required(path / "dnsPolicy", spec.dns_policy, DNS_POLICIES)
    if (deadline := spec.active_deadline_seconds) is not None and not 1 <= deadline < 2**31:
        yield (path / "activeDeadlineSeconds").invalid(deadline, "must be between 1 and 2147483647, inclusive")
    yield from names.validate_labels(path / "nodeSelector", spec.node_selector)
    if spec.node_name:
        yield from names.check(path / "nodeName", spec.node_name, names.dns_subdomain)
    if spec.hostname:
        yield from names.check(path / "hostname", spec.hostname, names.dns_label)
    if spec.subdomain:
        yield from names.check(path / "subdomain", spec.subdomain, names.dns_label)
    if spec.service_account_name:
        yield from names.check(path / "serviceAccountName", spec.service_account_name, names.dns_subdomain)
    yield from validate_placement(path, spec)
    yield from validate_settings(path, spec)
    if spec.share_process_namespace and spec.host_pid:
        yield (path / "shareProcessNamespace").invalid(True, "ShareProcessNamespace and HostPID cannot both be enabled")


def port_number(path: Path, port: int) -> Iterator[FieldError]:
    if not 1 <= port <= 65535:
        yield path.invalid(port, "must be between 1 and 65535, inclusive")


def port_reference(path: Path, port: int | str) -> Iterator[FieldError]:
    """A port by its number or by its name."""
    if isinstance(port, int):
        yield from port_number(path, port)
    else:
        yield from names.check(path, port, names.port_name)


def name_and_image(
    path: Path, container: v1.Container | v1.EphemeralContainer, taken: set[str]
) -> Iterator[FieldError]:
    """Name and image of a container; its name is added to the ``taken`` ones."""
    if not container.name:
        yield (path / "name").required()
    else:
        yield from names.check(path / "name", container.name, names.dns_label)
        if container.name in taken:
            yield (path / "name").duplicate(container.name)
        taken.add(container.name)
    if not container.image:
        yield (path / "image").required()
    elif container.image != container.image.strip():
        yield (path / "image").invalid(container.image, "must not have leading or trailing whitespace")
    yield from field_rules.required(path / "imagePullPolicy", container.image_pull_policy, PULL_POLICIES)


def _container(path: Path, container: v1.Container, volumes: set[str], taken: set[str]) -> Iterator[FieldError]:
    yield from name_and_image(path, container, taken)
    yield from _ports(path / "ports", container.ports or ())
    yield from _environment(path / "env", container.env or ())
    yield from _environment_sources(path / "envFrom", container.env_from or ())
    yield from validate_mounts(path / "volumeMounts", container, volumes)
    yield from validate_requirements(path / "resources", container.resources)
    yield from validate_container_settings(path, container)
    for field, probe in (
        ("livenessProbe", container.liveness_probe),
        ("readinessProbe", container.readiness_probe),
        ("startupProbe", container.startup_probe),
    ):
        if probe is not None:
            yield from _probe(path / field, probe, must_succeed_once=field != "readinessProbe")
    yield from field_rules.required(
        path / "terminationMessagePolicy", container.termination_message_policy, ("File", "FallbackToLogsOnError")
    )


def _ports(path: Path, ports: Iterable[v1.ContainerPort]) -> Iterator[FieldError]:
    earlier: set[str] = set()
    for i, port in enumerate(ports):
        if port.name:
            yield from names.check(path[i] / "name", port.name, names.port_name)
            if port.name in earlier:
                yield (path[i] / "name").duplicate(port.name)
            earlier.add(port.name)
        if not port.container_port:
            yield (path[i] / "containerPort").required()
        else:
            yield from port_number(path[i] / "containerPort", port.container_port)
        if port.host_port:
            yield from port_number(path[i] / "hostPort", port.host_port)
        yield from field_rules.required(path[i] / "protocol", port.protocol, PROTOCOLS)


def _host_ports(path: Path, spec: v1.PodSpec) -> Iterator[FieldError]:
    """Two containers of one pod cannot hold the same port of the host; host-network pods must name their own."""
    taken: set[tuple[int, str | None, str]] = set()
    for i, container in enumerate(spec.containers):
        for j, port in enumerate(container.ports or ()):
            place = (path[i] / "ports")[j]
            if not port.host_port:
                continue
            if spec.host_network and port.host_port != port.container_port:
                yield (place / "containerPort").invalid(
                    port.container_port, "must match `hostPort` when `hostNetwork` is true"
                )
            claim = (port.host_port, port.protocol, port.host_ip or "")
            if claim in taken:
                yield (place / "hostPort").duplicate(port.host_port)
            taken.add(claim)


def _environment(path: Path, variables: Iterable[v1.EnvVar]) -> Iterator[FieldError]:
    for i, variable in enumerate(variables):
        if not variable.name:
            yield (path[i] / "name").required()
        else:
            yield from names.check(path[i] / "name", variable.name, names.env_name)
        source = variable.value_from
        if source is None:
            continue
        if variable.value:
            yield (path[i] / "valueFrom").invalid("", "may not be specified when `value` is not empty")
        sources = field_rules.set_fields(source)
        if not sources:
            yield (path[i] / "valueFrom").invalid("", "must specify one of: `fieldRef`, `resourceFieldRef`, "
                                                      "`configMapKeyRef` or `secretKeyRef`")  # fmt: skip
        elif len(sources) > 1:
            yield (path[i] / "valueFrom").invalid("", "may not have more than one field specified at a time")
        for field, ref in (("configMapKeyRef", source.config_map_key_ref), ("secretKeyRef", source.secret_key_ref)):
            if ref is not None and not ref.key:
                yield (path[i] / "valueFrom" / field / "key").required()
        if source.field_ref is not None and not source.field_ref.field_path:
            yield (path[i] / "valueFrom" / "fieldRef" / "fieldPath").required()


def _environment_sources(path: Path, sources: Iterable[v1.EnvFromSource]) -> Iterator[FieldError]:
    for i, source in enumerate(sources):
        count = (source.config_map_ref is not None) + (source.secret_ref is not None)
        if count == 0:
            yield path[i].invalid("", "must specify one of: `configMapRef` or `secretRef`")
        elif count > 1:
            yield path[i].invalid("", "may not have more than one field specified at a time")


def _probe(path: Path, probe: v1.Probe, *, must_succeed_once: bool) -> Iterator[FieldError]:
    handlers = {
        "exec": probe.exec, "httpGet": probe.http_get, "tcpSocket": probe.tcp_socket, "grpc": probe.grpc,
    }  # fmt: skip
    configured = [name for name, handler in handlers.items() if handler is not None]
    if not configured:
        yield path.required("must specify a handler type")
    for extra in configured[1:]:
        yield (path / extra).forbidden("may not specify more than 1 handler type")
    if probe.exec is not None and not probe.exec.command:
        yield (path / "exec" / "command").required()
    for field, action in (("httpGet", probe.http_get), ("tcpSocket", probe.tcp_socket)):
        if action is not None:
            yield from port_reference(path / field / "port", action.port if action.port is not None else 0)
    for field, number in (
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ):
        yield from not_negative(path / field, number)
    if must_succeed_once and probe.success_threshold not in (None, 1):
        yield (path / "successThreshold").invalid(probe.success_threshold, "must be 1")
