"""The file of ``--admission-control-config-file``: what single plugins are told, in it or in files of their own.

    apiVersion: apiserver.config.k8s.io/v1
    kind: AdmissionConfiguration
    plugins:
    - name: PodSecurity
      path: pod-security.yaml  # or the same as ``configuration``

A path that does not begin with a slash is beside the file. Plugins that take no configuration are refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from apiserver.admission.pod_security.configuration import DEFAULT, Configuration, read

_API_VERSION: Final = "apiserver.config.k8s.io/v1"
_KIND: Final = "AdmissionConfiguration"


class Configurations(msgspec.Struct, frozen=True):
    """What those plugins are told that take a configuration."""

    pod_security: Configuration = DEFAULT


class _Plugin(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    path: str = ""
    configuration: dict[str, Any] | None = None


class _Document(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    api_version: str
    kind: str
    plugins: list[_Plugin] = []


def read_configuration(path: Path) -> Configurations:
    """Raises ValueError, with the field that is wrong."""
    document = msgspec.convert(_load(path), _Document)
    if (document.api_version, document.kind) != (_API_VERSION, _KIND):
        raise ValueError(f"must be an {_KIND} of {_API_VERSION}")
    configurations = Configurations()
    for i, plugin in enumerate(document.plugins):
        where = f"plugins[{i}]"
        if plugin.name != "PodSecurity":
            raise ValueError(f"{where}.name: only PodSecurity takes a configuration, not {plugin.name!r}")
        if any(plugin.name == other.name for other in document.plugins[:i]):
            raise ValueError(f"{where}.name: {plugin.name!r} is repeated")
        try:
            configurations = Configurations(read(_of(plugin, path.parent)))
        except ValueError as fault:
            raise ValueError(f"{where}: {fault}") from None
    return configurations


def _of(plugin: _Plugin, directory: Path) -> Mapping[str, Any]:
    if (plugin.configuration is None) == (not plugin.path):
        raise ValueError("must have either a path or a configuration")
    return plugin.configuration if plugin.configuration is not None else _load(directory / plugin.path)


def _load(path: Path) -> dict[str, Any]:
    """Raises ValueError."""
    try:
        document = yaml.safe_load(path.read_bytes())
    except OSError as fault:
        raise ValueError(f"{path}: {fault.strerror}") from fault
    except (yaml.YAMLError, RecursionError) as fault:
        raise ValueError(f"{path}: not YAML") from fault
    if not isinstance(document, dict):
        raise ValueError(f"{path}: must be a mapping")
    return document
