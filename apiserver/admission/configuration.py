"""The file of ``--admission-control-config-file``: an AdmissionConfiguration of apiserver.config.k8s.io/v1.

    apiVersion: apiserver.config.k8s.io/v1
    kind: AdmissionConfiguration
    plugins:
    - name: PodSecurity
      configuration:        # or path: a file beside this one
        apiVersion: pod-security.admission.config.k8s.io/v1
        kind: PodSecurityConfiguration

Only PodSecurity can be configured; what names another plugin is refused.
"""

from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from apiserver.admission.pod_security import configuration as pod_security
from apiserver.admission.pod_security.configuration import PodSecurityConfiguration

_API_VERSION: Final = "apiserver.config.k8s.io/v1"
_KIND: Final = "AdmissionConfiguration"
_POD_SECURITY: Final = "PodSecurity"


class _Plugin(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    configuration: dict[str, Any] | None = None
    path: str = ""


class _Document(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    api_version: str
    kind: str
    plugins: list[_Plugin] = []


class Configuration(msgspec.Struct, frozen=True):
    """What plugins are told at start."""

    pod_security: PodSecurityConfiguration = PodSecurityConfiguration()


def read(path: Path) -> Configuration:
    """Raises ValueError, which names the field, and OSError."""
    document = msgspec.convert(_yaml(path), _Document)
    if (document.api_version, document.kind) != (_API_VERSION, _KIND):
        raise ValueError(f"must be an {_KIND} of {_API_VERSION}")
    configuration = Configuration()
    for i, plugin in enumerate(document.plugins):
        where = f"plugins[{i}]"
        if plugin.name != _POD_SECURITY:
            raise ValueError(f"{where}.name: {plugin.name!r} takes no configuration; only {_POD_SECURITY} does")
        if (plugin.configuration is None) == (not plugin.path):
            raise ValueError(f"{where}: must have either configuration or path")
        given = plugin.configuration if plugin.configuration is not None else _yaml(path.parent / plugin.path)
        try:
            configuration = Configuration(pod_security.read(given))
        except ValueError as fault:
            raise ValueError(f"{where}.configuration: {fault}") from None
    return configuration


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as fault:
        raise ValueError(f"{path}: not YAML") from fault
