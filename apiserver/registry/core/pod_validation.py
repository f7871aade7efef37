"""What a pod's spec must look like (core/validation): containers, ports, volumes, and how they fit together."""

from collections.abc import Iterable, Iterator
from typing import Final

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1
from apiserver.registry import field_rules
from apiserver.registry.core.affinity_validation import validate_placement
from apiserver.registry.core.environment_validation import validate_environment, validate_environment_sources
from apiserver.registry.core.handlers_validation import validate_lifecycle, validate_probes
from apiserver.registry.core.pod_level_resources_validation import validate_pod_level_resources
from apiserver.registry.core.pod_settings_validation import validate_container_settings, validate_settings
from apiserver.registry.core.resource_claims_validation import validate_resource_claims, validate_used_claims
from apiserver.registry.core.resources_validation import validate_amounts, validate_requirements
from apiserver.registry.core.volume_validation import validate_devices, validate_mounts, validate_volumes
from apiserver.registry.field_rules import port_number

RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
DNS_POLICIES: Final = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
PROTOCOLS: Final = ("TCP", "UDP", "SCTP")


def validate_spec(path: Path, spec: v1.PodSpec) -> Iterator[FieldError]:
    """Every fault of a pod's spec, or of a template's."""
    volumes = list(spec.volumes or ())
    yield from validate_volumes(path / "volumes", volumes)
    if not spec.containers:
        yield (path / "containers").required()
    taken: set[str] = set()
    for field, containers in (("containers", spec.containers), ("initContainers", spec.init_containers or ())):
        for i, container in enumerate(containers):
            place = (path / field)[i]
            yield from _container(place, container, spec, taken)
            if field == "containers" and container.restart_policy is not None:
                yield (place / "restartPolicy").forbidden("may not be set for non-init containers")
    yield from _host_ports([((path / "containers")[i], c) for i, c in enumerate(spec.containers)], spec)
    for i, container in enumerate(spec.init_containers or ()):  # which run one after the other
        yield from _host_ports([((path / "initContainers")[i], container)], spec)
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
    yield from validate_amounts(path / "overhead", spec.overhead)
    yield from validate_resource_claims(path / "resourceClaims", spec.resource_claims or ())
    yield from validate_pod_level_resources(path, spec)
    if spec.share_process_namespace and spec.host_pid:
        yield (path / "shareProcessNamespace").invalid(True, "ShareProcessNamespace and HostPID cannot both be enabled")


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


def _container(path: Path, container: v1.Container, spec: v1.PodSpec, taken: set[str]) -> Iterator[FieldError]:
    volumes = spec.volumes or ()
    yield from name_and_image(path, container, taken)
    yield from _ports(path / "ports", container.ports or ())
    yield from validate_environment(path / "env", container.env or ())
    yield from validate_environment_sources(path / "envFrom", container.env_from or ())
    yield from validate_mounts(path / "volumeMounts", container, {volume.name for volume in volumes})
    if container.volume_devices:
        yield from validate_devices(path / "volumeDevices", container, volumes)
    yield from validate_requirements(path / "resources", container.resources)
    if used := container.resources.claims:
        of_pod = [claim.name for claim in spec.resource_claims or ()]
        yield from validate_used_claims(path / "resources" / "claims", used, of_pod)
    yield from validate_container_settings(path, container)
    yield from validate_probes(path, container)
    yield from validate_lifecycle(path / "lifecycle", container.lifecycle, spec)
    yield from _resizing(path / "resizePolicy", container.resize_policy or ())
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
        if port.host_ip:
            yield from field_rules.address(path[i] / "hostIP", port.host_ip)
        yield from field_rules.required(path[i] / "protocol", port.protocol, PROTOCOLS)


def _host_ports(containers: Iterable[tuple[Path, v1.Container]], spec: v1.PodSpec) -> Iterator[FieldError]:
    """Two containers of one pod cannot hold the same port of the host; host-network pods must name their own."""
    taken: set[tuple[int, str | None, str]] = set()
    for path, container in containers:
        for j, port in enumerate(container.ports or ()):
            place = (path / "ports")[j]
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


def _resizing(path: Path, policies: Iterable[v1.ContainerResizePolicy]) -> Iterator[FieldError]:
    earlier: set[str] = set()
    for i, policy in enumerate(policies):
        if policy.resource_name in earlier:
            yield path[i].duplicate(policy.resource_name)
        earlier.add(policy.resource_name)
        yield from field_rules.required(path[i] / "resourceName", policy.resource_name, ("cpu", "memory"))
        yield from field_rules.required(
            path[i] / "restartPolicy", policy.restart_policy, ("NotRequired", "RestartContainer")
        )
