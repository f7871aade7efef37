"""Defaults and exemptions of PodSecurity: its configuration in the file of ``--admission-control-config-file``.

    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults:
      enforce: baseline
      enforce-version: latest
    exemptions:
      namespaces: [kube-system]

What is not said is ``privileged``, ``latest``, and no exemption.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from apimachinery import names
from apimachinery.fields import FieldError, Path
from apiserver.admission.pod_security.levels import PREFIX, Policy, check_policy, read_labels

API_VERSIONS: Final = tuple(
    f"pod-security.admission.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1")
)
KIND: Final = "PodSecurityConfiguration"


class _Exemptions(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    usernames: list[str] = []
    namespaces: list[str] = []
    runtime_classes: list[str] = []


class _Defaults(msgspec.Struct, forbid_unknown_fields=True, rename="kebab", omit_defaults=True):
    enforce: str = ""
    enforce_version: str = ""
    audit: str = ""
    audit_version: str = ""
    warn: str = ""
    warn_version: str = ""


class _Document(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    api_version: str
    kind: str
    defaults: _Defaults = msgspec.field(default_factory=_Defaults)
    exemptions: _Exemptions = msgspec.field(default_factory=_Exemptions)


class Configuration(msgspec.Struct, frozen=True):
    """What holds for namespaces without labels, and for whom nothing holds."""

    defaults: Policy = Policy()
    usernames: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()


DEFAULT: Final = Configuration()


def read(document: Mapping[str, Any]) -> Configuration:
    """Raises ValueError, with the fields that are wrong."""
    parsed = msgspec.convert(document, _Document)
    if parsed.api_version not in API_VERSIONS or parsed.kind != KIND:
        raise ValueError(f"must be a {KIND} of {API_VERSIONS[0]}")
    defaults: dict[str, str] = msgspec.to_builtins(parsed.defaults)
    faults = [*check_policy(Path("defaults"), defaults), *_check_exemptions(parsed.exemptions)]
    if faults:
        raise ValueError(", ".join(map(str, faults)))
    exempt = parsed.exemptions
    return Configuration(
        read_labels({PREFIX + name: text for name, text in defaults.items()}, Policy()).policy,
        frozenset(exempt.usernames),
        frozenset(exempt.namespaces),
        frozenset(exempt.runtime_classes),
    )


def _check_exemptions(exemptions: _Exemptions) -> Iterator[FieldError]:
    path = Path("exemptions")
    yield from _check(path / "namespaces", exemptions.namespaces, names.dns_label)
    yield from _check(path / "runtimeClasses", exemptions.runtime_classes, names.dns_subdomain)
    yield from _check(path / "usernames", exemptions.usernames, lambda name: None if name else "must not be empty")


def _check(path: Path, items: Sequence[str], rule: Callable[[str], str | None]) -> Iterator[FieldError]:
    for i, item in enumerate(items):
        if (fault := rule(item)) is not None:
            yield path[i].invalid(item, fault)
        elif item in items[:i]:
            yield path[i].duplicate(item)
