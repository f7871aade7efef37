"""Defaults and exemptions of pod security: a PodSecurityConfiguration of pod-security.admission.config.k8s.io/v1.

defaults:
  enforce: baseline
  enforce-version: latest
  audit: restricted
  warn: restricted
exemptions:
  usernames: []
  runtimeClasses: []
  namespaces: [kube-system]
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from apimachinery import names
from apiserver.admission.pod_security.levels import LATEST, PRIVILEGED, LevelVersion, Policy, level_fault, version_fault

API_VERSION: Final = "pod-security.admission.config.k8s.io/v1"
KIND: Final = "PodSecurityConfiguration"


class _Defaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    enforce: str = PRIVILEGED
    enforce_version: str = LATEST
    audit: str = PRIVILEGED
    audit_version: str = LATEST
    warn: str = PRIVILEGED
    warn_version: str = LATEST


class _Exemptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    usernames: list[str] = []
    runtime_classes: list[str] = []
    namespaces: list[str] = []


class _Document(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    api_version: str
    kind: str
    defaults: _Defaults = _Defaults()
    exemptions: _Exemptions = _Exemptions()


class PodSecurityConfiguration(msgspec.Struct, frozen=True):
    defaults: Policy = Policy()
    usernames: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()


def read(document: Any) -> PodSecurityConfiguration:
    """Raises ValueError, which names the field."""
    parsed = msgspec.convert(document, _Document)
    if (parsed.api_version, parsed.kind) != (API_VERSION, KIND):
        raise ValueError(f"must be a {KIND} of {API_VERSION}")
    for fault in _faults(parsed):
        raise ValueError(fault)
    defaults, exemptions = parsed.defaults, parsed.exemptions
    return PodSecurityConfiguration(
        Policy(
            LevelVersion(defaults.enforce, defaults.enforce_version),
            LevelVersion(defaults.audit, defaults.audit_version),
            LevelVersion(defaults.warn, defaults.warn_version),
        ),
        frozenset(exemptions.usernames),
        frozenset(exemptions.runtime_classes),
        frozenset(exemptions.namespaces),
    )


def _faults(document: _Document) -> Iterator[str]:
    for mode in Policy._fields:
        level, version = getattr(document.defaults, mode), getattr(document.defaults, f"{mode}_version")
        if fault := level_fault(level):
            yield f"defaults.{mode}: {level!r} {fault}"
        if fault := version_fault(version):
            yield f"defaults.{mode}-version: {version!r} {fault}"
    exemptions = document.exemptions
    yield from _names("usernames", exemptions.usernames, lambda name: None if name else "must not be empty")
    yield from _names("runtimeClasses", exemptions.runtime_classes, names.dns_subdomain)
    yield from _names("namespaces", exemptions.namespaces, names.dns_label)


def _names(field: str, values: list[str], rule: Callable[[str], str | None]) -> Iterator[str]:
    for i, name in enumerate(values):
        if (fault := rule(name)) is not None:
            yield f"exemptions.{field}[{i}]: {name!r}: {fault}"
        elif name in values[:i]:
            yield f"exemptions.{field}[{i}]: {name!r} is there already"
