"""Ingresses: which service answers to a host and path of the outside."""

import ipaddress
from collections.abc import Iterator
from typing import Final

from apimachinery import names
from apimachinery.core.well_known import INGRESS_CLASS_ANNOTATION
from apimachinery.fields import FieldError, Path
from apimachinery.types.networking_v1 import (
    HTTPIngressPath,
    Ingress,
    IngressBackend,
    IngressLoadBalancerStatus,
    IngressSpec,
    IngressStatus,
)
from apiserver.registry import columns
from apiserver.registry.columns import Column
from apiserver.registry.field_rules import port_number, required
from apiserver.registry.status_rules import STATUS, balancer
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource
from apiserver.registry.workloads import SPEC

PATH_TYPES: Final = ("Exact", "ImplementationSpecific", "Prefix")
_SHOWN: Final = 3


class IngressKind(Strategy[Ingress]):
    counts_generations = True

    def prepare_for_create(self, obj: Ingress) -> None:
        obj.status = IngressStatus(load_balancer=IngressLoadBalancerStatus())

    def prepare_for_update(self, obj: Ingress, old: Ingress) -> None:
        obj.status = old.status

    def validate(self, obj: Ingress) -> Iterator[FieldError]:
        spec = obj.spec
        if not spec.rules and spec.default_backend is None:
            yield SPEC.invalid([], "either `defaultBackend` or `rules` must be specified")
        if spec.default_backend is not None:
            yield from _backend(SPEC / "defaultBackend", spec.default_backend)
        yield from _rules(spec)
        for i, tls in enumerate(spec.tls or ()):
            for j, host in enumerate(tls.hosts or ()):
                yield from _host(((SPEC / "tls")[i] / "hosts")[j], host)
            if tls.secret_name:
                yield from names.check((SPEC / "tls")[i] / "secretName", tls.secret_name, names.dns_subdomain)
        if spec.ingress_class_name is not None:
            yield from names.check(SPEC / "ingressClassName", spec.ingress_class_name, names.dns_subdomain)
            if INGRESS_CLASS_ANNOTATION in (obj.metadata.annotations or {}):
                yield (
                    Path("metadata", "annotations")
                    .key(INGRESS_CLASS_ANNOTATION)
                    .invalid(
                        (obj.metadata.annotations or {})[INGRESS_CLASS_ANNOTATION],
                        "can not be set when the class field is also set",
                    )
                )


def _rules(spec: IngressSpec) -> Iterator[FieldError]:
    for i, rule in enumerate(spec.rules or ()):
        path = (SPEC / "rules")[i]
        if rule.host:
            yield from _host(path / "host", rule.host)
        if rule.http is not None:
            if not rule.http.paths:
                yield (path / "http" / "paths").required()
            for j, rule_path in enumerate(rule.http.paths):
                yield from _path((path / "http" / "paths")[j], rule_path)


def _host(path: Path, host: str) -> Iterator[FieldError]:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if host.startswith("*."):
            yield from names.check(path, host.removeprefix("*."), names.dns_subdomain)
        else:
            yield from names.check(path, host, names.dns_subdomain)
    else:
        yield path.invalid(host, "must be a DNS name, not an IP address")


def _path(place: Path, rule: HTTPIngressPath) -> Iterator[FieldError]:
    if not rule.path_type:
        yield (place / "pathType").required("pathType must be specified")
    else:
        yield from required(place / "pathType", rule.path_type, PATH_TYPES)
    path = rule.path or ""
    if rule.path_type in ("Exact", "Prefix") or path:
        if not path.startswith("/"):
            yield (place / "path").invalid(path, "must be an absolute path")
        if rule.path_type in ("Exact", "Prefix"):
            for segment in ("//", "/./", "/../", "%2f", "%2F"):
                if segment in path:
                    yield (place / "path").invalid(path, f"must not contain '{segment}'")
            for segment in ("/..", "/."):
                if path.endswith(segment):
                    yield (place / "path").invalid(path, f"cannot end with '{segment}'")
    yield from _backend(place / "backend", rule.backend)


def _backend(path: Path, backend: IngressBackend) -> Iterator[FieldError]:
    service, resource = backend.service, backend.resource
    if service is not None and resource is not None:
        yield path.invalid("", "cannot set both resource and service backends")
    elif service is not None:
        path = path / "service"
        if not service.name:
            yield (path / "name").required()
        else:
            yield from names.check(path / "name", service.name, names.dns_label_1035)
        number = (service.port.number if service.port else None) or 0
        named = (service.port.name if service.port else None) or ""
        if number and named:
            yield path.invalid("", "cannot set both port name & port number")
        elif named:
            yield from names.check(path / "port" / "name", named, names.port_name)
        elif number:
            yield from port_number(path / "port" / "number", number)
        else:
            yield (path / "port").required("port name or number is required")
    elif resource is not None:
        for field, value in (("kind", resource.kind), ("name", resource.name)):
            if not value:
                yield (path / "resource" / field).required()
    else:
        yield path.invalid("", "resource or service backend is required")


def _hosts(obj: Ingress) -> str:
    hosts = [rule.host for rule in (obj.spec.rules or ())[:_SHOWN] if rule.host]
    if not hosts:
        return "*"
    more = len(obj.spec.rules or ()) - _SHOWN
    return ",".join(hosts) + (f" + {more} more..." if more > 0 else "")


def _address(obj: Ingress) -> str:
    points = (obj.status.load_balancer.ingress if obj.status.load_balancer else None) or ()
    return ",".join(sorted({point.ip or point.hostname or "" for point in points} - {""}))


_KIND = IngressKind()


class IngressStatusStrategy(StatusStrategy[Ingress]):
    def validate_update(self, obj: Ingress, old: Ingress) -> Iterator[FieldError]:
        yield from super().validate_update(obj, old)
        points = obj.status.load_balancer
        yield from balancer(STATUS / "loadBalancer", points.ingress if points is not None else None)


INGRESSES = StoredResource(
    Ingress,
    _KIND,
    singular="ingress",
    short_names=("ing",),
    columns=(
        columns.name(),
        Column("Class", lambda obj: obj.spec.ingress_class_name or "<none>"),
        Column("Hosts", _hosts),
        Column("Address", _address),
        Column("Ports", lambda obj: "80, 443" if obj.spec.tls else "80"),
        columns.age(),
    ),
    subresources={"status": ObjectSubresource(IngressStatusStrategy(_KIND))},
)
