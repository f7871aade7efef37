"""Types of the kubelet's own flags: how a value is read, and written for --help and the log.

A parser raises ValueError with what was expected.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from apimachinery import quantity
from apimachinery.core import pod_resources
from apimachinery.selectors import is_label_key, is_label_value
from component_base.values import (
    ValueType,
    format_bytes,
    items,
    parse_directory,
    parse_file,
    parse_map,
    parse_object_name,
)
from kubelet.resources.thresholds import Threshold, parse_threshold
from kubelet.runtime.images import is_valid

RESERVABLE: Final = (pod_resources.CPU, pod_resources.MEMORY, pod_resources.EPHEMERAL_STORAGE)

_SYSCTL = re.compile(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*([./]\*|\*)?")


def _node_name(text: str) -> str:
    """Empty for the machine's own; upper case is a host name's, and made lower."""
    return parse_object_name(text.lower()) and text if text else ""


def _domain(text: str) -> str:
    """In lower case, without the last dot; empty for none."""
    return parse_object_name(text.lower().removesuffix(".")) if text else ""


def _file_to_be(text: str) -> Path:
    """A file, or where one can be made."""
    path = Path(text)
    if os.path.lexists(path):
        return parse_file(text)
    parse_directory(str(path.parent))
    return path


def _resolv_conf(text: str) -> Path | None:
    """None for none: pods then get no resolver from the node."""
    return parse_file(text) if text else None


def _labels(text: str) -> dict[str, str]:
    values = parse_map(text)
    for key, value in values.items():
        if not is_label_key(key):
            raise ValueError(f'"{key}" is not a label\'s key')
        if not is_label_value(value):
            raise ValueError(f'"{value}" is not a label\'s value')
    return values


def _endpoint(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    is_socket = parts.scheme == "unix" and parts.path
    if not is_socket and (parts.scheme not in ("tcp", "http", "https") or not parts.hostname or port == 0):
        raise ValueError('not an endpoint such as "unix:///var/run/docker.sock" or "tcp://127.0.0.1:2375"')
    return text


def _image(text: str) -> str:
    if not is_valid(text):
        raise ValueError("not the name of an image")
    return text


def _size(text: str) -> int:
    """Bytes."""
    amount = quantity.value(text)
    if amount <= 0:
        raise ValueError("must be positive")
    return amount


def _reserved(text: str) -> dict[str, int]:
    """Amounts of resources, CPU in thousandths, everything else in its own unit."""
    amounts: dict[str, int] = {}
    for name, value in parse_map(text).items():
        if name not in RESERVABLE:
            raise ValueError(f'cannot reserve "{name}" resource')
        amounts[name] = pod_resources.amount(name, value)
        if amounts[name] < 0:
            raise ValueError(f'resource quantity for "{name}" cannot be negative: {value}')
    return amounts


def _format_reserved(amounts: Mapping[str, int]) -> str:
    return ",".join(
        f"{name}={value}m" if name == pod_resources.CPU else f"{name}={value}" for name, value in amounts.items()
    )


def _thresholds(text: str) -> tuple[Threshold, ...]:
    return tuple(parse_threshold(item) for item in items(text))


def _sysctls(text: str) -> tuple[str, ...]:
    """Names of kernel parameters, or prefixes of names that end in ``*``."""
    names = tuple(items(text))
    for name in names:
        if name != "*" and not _SYSCTL.fullmatch(name):
            raise ValueError(f'"{name}" is not the name of a kernel parameter')
    return names


FILE_TO_BE = ValueType(_file_to_be, str, "PATH")
RESOLV_CONF = ValueType(_resolv_conf, str, "PATH")
NODE_NAME = ValueType(_node_name, str, "STRING")
DOMAIN = ValueType(_domain, str, "STRING")
LABELS = ValueType(_labels, lambda labels: ",".join(f"{key}={value}" for key, value in labels.items()), "KEY=VALUE,...")
ENDPOINT = ValueType(_endpoint, str, "URL")
IMAGE = ValueType(_image, str, "IMAGE")
SIZE = ValueType(_size, format_bytes, "QUANTITY")
RESERVED = ValueType(_reserved, _format_reserved, "RESOURCE=QUANTITY,...")
THRESHOLDS = ValueType(_thresholds, lambda thresholds: ",".join(map(str, thresholds)), "SIGNAL<QUANTITY,...")
SYSCTLS = ValueType(_sysctls, ",".join, "STRING,...")
