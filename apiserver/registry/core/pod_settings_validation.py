"""What a pod's spec may say besides its containers and volumes: names and addresses, users, priorities of lookups."""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final

from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1
from apiserver.registry import names

_LARGEST_ID: Final = 2**31 - 1
_NAMESERVERS: Final = 3
_SEARCHES: Final = 32


def validate_settings(path: Path, spec: v1.PodSpec) -> Iterator[FieldError]:
    """Every fault of these."""
    yield from _dns(path / "dnsConfig", spec)
    for i, alias in enumerate(spec.host_aliases or ()):
        yield from address((path / "hostAliases")[i] / "ip", alias.ip)
        for j, name in enumerate(alias.hostnames or ()):
            yield from names.check(((path / "hostAliases")[i] / "hostnames")[j], name, names.dns_subdomain)
    for i, secret in enumerate(spec.image_pull_secrets or ()):
        if not secret.name:
            yield ((path / "imagePullSecrets")[i] / "name").required()
    if spec.ephemeral_containers:
        yield (path / "ephemeralContainers").forbidden("cannot be set on create")
    for i, gate in enumerate(spec.scheduling_gates or ()):
        yield from names.check((path / "schedulingGates")[i] / "name", gate.name, names.qualified_name)
    if spec.security_context is not None:
        yield from _pod_security(path / "securityContext", spec.security_context)


def validate_container_settings(path: Path, container: v1.Container) -> Iterator[FieldError]:
    """The same of one container."""
    context = container.security_context
    if context is not None:
        ids = (("runAsUser", context.run_as_user), ("runAsGroup", context.run_as_group))
        yield from _ids(path / "securityContext", ids)
    if container.lifecycle is None:
        return
    for field, hook in (("postStart", container.lifecycle.post_start), ("preStop", container.lifecycle.pre_stop)):
        if hook is None:
            continue
        given = [one for one in (hook.exec, hook.http_get, hook.tcp_socket, hook.sleep) if one is not None]
        if not given:
            yield (path / "lifecycle" / field).required("must specify a handler type")
        elif len(given) > 1:
            yield (path / "lifecycle" / field).forbidden("may not specify more than 1 handler type")


def address(path: Path, text: str | None) -> Iterator[FieldError]:
    """An IP address of either family."""
    try:
        ipaddress.ip_address(text or "")
    except ValueError:
        yield path.invalid(text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")


def _dns(path: Path, spec: v1.PodSpec) -> Iterator[FieldError]:
    config = spec.dns_config
    servers, searches = (config.nameservers or [], config.searches or []) if config else ([], [])
    if spec.dns_policy == "None" and config is None:
        yield path.required("must provide `dnsConfig` when `dnsPolicy` is None")
    elif spec.dns_policy == "None" and not servers:
        yield (path / "nameservers").required("must provide at least one DNS nameserver when `dnsPolicy` is None")
    if len(servers) > _NAMESERVERS:
        yield (path / "nameservers").invalid(servers, f"must not have more than {_NAMESERVERS} nameservers")
    for i, server in enumerate(servers):
        yield from address((path / "nameservers")[i], server)
    if len(searches) > _SEARCHES:
        yield (path / "searches").invalid(searches, f"must not have more than {_SEARCHES} search paths")
    for i, option in enumerate(config.options or () if config else ()):
        if not option.name:
            yield ((path / "options")[i] / "name").required()


def _pod_security(path: Path, context: v1.PodSecurityContext) -> Iterator[FieldError]:
    yield from _ids(
        path,
        (
            ("runAsUser", context.run_as_user),
            ("runAsGroup", context.run_as_group),
            ("fsGroup", context.fs_group),
            *((f"supplementalGroups[{i}]", one) for i, one in enumerate(context.supplemental_groups or ())),
        ),
    )


def _ids(path: Path, ids: Iterable[tuple[str, int | None]]) -> Iterator[FieldError]:
    for field, number in ids:
        if number is not None and not 0 <= number <= _LARGEST_ID:
            yield (path / field).invalid(number, f"must be between 0 and {_LARGEST_ID}, inclusive")
