"""A container's environment variables. Pure: what has to be fetched is passed in as ``Sources``.

Order and precedence are Kubernetes': ``envFrom``, then ``env``, where each variable may refer to earlier ones; the
variables that describe services (of the pod's namespace, and ``kubernetes`` of ``default``) have the lowest precedence.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from apimachinery import meta
from apimachinery.types import core_v1
from apimachinery.types.base import Quantity
from kubelet.references import downward
from kubelet.references.downward import PodAddresses
from kubelet.references.expansion import expand

_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")

_KINDS = {"configmap": "ConfigMap", "secret": "Secret"}


class ConfigError(Exception):
    """The container cannot be configured as its spec says; Kubernetes' CreateContainerConfigError."""


@dataclass(frozen=True)
class Sources:
    """What variables may refer to. Config maps and secrets that do not exist are missing."""

    config_maps: Mapping[str, core_v1.ConfigMap] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    """Name -> key -> decoded value."""
    services: Iterable[core_v1.Service] = ()
    addresses: PodAddresses = field(default_factory=PodAddresses)
    allocatable: Mapping[str, Quantity] = field(default_factory=dict)


def references(container: core_v1.Container) -> tuple[set[str], set[str]]:
    """Names of the config maps and of the secrets that the container's variables come from."""
    config_maps, secrets = set[str](), set[str]()
    for source in container.env_from or ():
        if source.config_map_ref and source.config_map_ref.name:
            config_maps.add(source.config_map_ref.name)
        if source.secret_ref and source.secret_ref.name:
            secrets.add(source.secret_ref.name)
    for variable in container.env or ():
        value = variable.value_from
        if value and value.config_map_key_ref and value.config_map_key_ref.name:
            config_maps.add(value.config_map_key_ref.name)
        if value and value.secret_key_ref and value.secret_key_ref.name:
            secrets.add(value.secret_key_ref.name)
    return config_maps, secrets


def environment(pod: core_v1.Pod, container: core_v1.Container, sources: Sources) -> dict[str, str]:
    """All variables, in the order in which they are set.

    Raises:
        ConfigError: the target of a reference that is not optional does not exist.
    """
    of_services = service_variables(visible_services(pod, sources.services))
    result: dict[str, str] = {}
    for source in container.env_from or ():
        result.update(_from_source(source, sources))
    for variable in container.env or ():
        if variable.value_from is None:
            result[variable.name] = expand(variable.value or "", result, of_services)
        else:
            value = _value_from(pod, container, variable.value_from, sources)
            if value is not None:
                result[variable.name] = value
    for name, value in of_services.items():
        result.setdefault(name, value)
    return result


def invalid_names(container: core_v1.Container, sources: Sources) -> Iterator[tuple[str, str, list[str]]]:
    """Kind and name of each source of ``envFrom`` with keys that are not variables' names, and those keys."""
    for source in container.env_from or ():
        keys: Iterable[str] = ()
        if ref := source.config_map_ref:
            kind, name = "configMap", ref.name or ""
            config_map = sources.config_maps.get(name)
            keys = (config_map.data or {}) if config_map else ()
        elif secret := source.secret_ref:
            kind, name = "secret", secret.name or ""
            keys = sources.secrets.get(name) or ()
        else:
            continue
        invalid = sorted(key for key in keys if not _NAME.fullmatch(f"{source.prefix or ''}{key}"))
        if invalid:
            yield kind, name, invalid


def visible_services(pod: core_v1.Pod, services: Iterable[core_v1.Service]) -> list[core_v1.Service]:
    """The services that the pod's variables describe.

    Only those that existed when the pod was created: a container that is restarted gets the same environment.
    """
    namespace, created = meta.namespace_of(pod), pod.metadata.creation_timestamp
    visible: dict[str, core_v1.Service] = {}
    for service in services:
        if service.spec.cluster_ip in (None, "", "None"):
            continue
        if created and (service.metadata.creation_timestamp or "") > created:
            continue
        namespace_of_service, name = meta.key_of(service)
        if namespace_of_service == namespace and pod.spec.enable_service_links is not False:
            visible[name] = service
        elif namespace_of_service == "default" and name == "kubernetes":
            visible.setdefault(name, service)
    return [visible[name] for name in sorted(visible)]


def service_variables(services: Iterable[core_v1.Service]) -> dict[str, str]:
    """``{SVC}_SERVICE_HOST`` and ``_PORT``, and those that Docker's links used."""
    return dict(pair for service in services for pair in _of_service(service))


def _of_service(service: core_v1.Service) -> Iterator[tuple[str, str]]:
    prefix, address = _variable(meta.name_of(service)), service.spec.cluster_ip or ""
    ports = service.spec.ports or []
    yield f"{prefix}_SERVICE_HOST", address
    if ports:
        yield f"{prefix}_SERVICE_PORT", str(ports[0].port)
    for port in ports:
        if port.name:
            yield f"{prefix}_SERVICE_PORT_{_variable(port.name)}", str(port.port)
    for i, port in enumerate(ports):
        protocol = port.protocol or "TCP"
        host = f"[{address}]" if ":" in address else address
        url = f"{protocol.lower()}://{host}:{port.port}"
        if i == 0:
            yield f"{prefix}_PORT", url
        link = f"{prefix}_PORT_{port.port}_{protocol}"
        yield link, url
        yield f"{link}_PROTO", protocol.lower()
        yield f"{link}_PORT", str(port.port)
        yield f"{link}_ADDR", address


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


def _from_source(source: core_v1.EnvFromSource, sources: Sources) -> Iterator[tuple[str, str]]:
    if ref := source.config_map_ref:
        config_map = sources.config_maps.get(ref.name or "")
        if config_map is None and not ref.optional:
            raise ConfigError(f'configmap "{ref.name}" not found')
        values: Mapping[str, str] = (config_map.data or {}) if config_map else {}
    elif secret := source.secret_ref:
        data = sources.secrets.get(secret.name or "")
        if data is None and not secret.optional:
            raise ConfigError(f'secret "{secret.name}" not found')
        values = {key: _text(value) for key, value in (data or {}).items()}
    else:
        return
    for key, value in values.items():
        name = f"{source.prefix or ''}{key}"
        if _NAME.fullmatch(name):  # Kubernetes skips keys that cannot be variables
            yield name, value


def _value_from(
    pod: core_v1.Pod, container: core_v1.Container, ref: core_v1.EnvVarSource, sources: Sources
) -> str | None:
    """The value; None if the target of an optional reference does not exist."""
    try:
        if ref.field_ref:
            return downward.field_value(pod, ref.field_ref.field_path, sources.addresses)
        if ref.resource_field_ref:
            return downward.resource_value(pod, container, ref.resource_field_ref, sources.allocatable)
    except downward.UnknownField as exc:
        raise ConfigError(str(exc)) from exc
    if key := ref.config_map_key_ref:
        config_map = sources.config_maps.get(key.name or "")
        return _keyed(meta.namespace_of(pod), "configmap", key, None if config_map is None else (config_map.data or {}))
    if secret := ref.secret_key_ref:
        data = sources.secrets.get(secret.name or "")
        texts = None if data is None else {name: _text(value) for name, value in data.items()}
        return _keyed(meta.namespace_of(pod), "secret", secret, texts)
    return None


def _keyed(
    namespace: str,
    kind: str,
    ref: core_v1.ConfigMapKeySelector | core_v1.SecretKeySelector,
    data: Mapping[str, str] | None,
) -> str | None:
    if data is not None and ref.key in data:
        return data[ref.key]
    if ref.optional:
        return None
    if data is None:
        raise ConfigError(f'{kind} "{ref.name}" not found')
    raise ConfigError(f"couldn't find key {ref.key} in {_KINDS[kind]} {namespace}/{ref.name}")


def _text(value: bytes) -> str:
    return value.decode(errors="surrogateescape")
