"""Types of the kubelet's own flags: how a value is read, and written for --help and the log.

A parser raises ValueError with what was expected.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from apimachinery import quantity
from apimachinery.core import pod_resources
from apimachinery.selectors import is_label_key, is_label_value
from component_base.values import Duration, ValueType, format_duration, parse_duration, parse_int, parse_network
from kubelet.resources.thresholds import Threshold, parse_threshold
from kubelet.runtime.images import is_valid

RESERVABLE: Final = (pod_resources.CPU, pod_resources.MEMORY, pod_resources.EPHEMERAL_STORAGE)

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SYSCTL = re.compile(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*([./]\*|\*)?")


def number(lowest: int, highest: int | None = None) -> ValueType:
    """Whole numbers of a range, both ends included."""

    def parse(text: str) -> int:
        value = parse_int(text)
        if value < lowest or (highest is not None and value > highest):
            expected = f"at least {lowest}" if highest is None else f"between {lowest} and {highest}"
            raise ValueError(f"must be {expected}")
        return value

    return ValueType(parse, str, "INT")


def _period(text: str) -> Duration:
    """A duration that is not zero."""
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError("must be positive")
    return seconds


def _age(text: str) -> Duration:
    """A duration, or none at all."""
    seconds = parse_duration(text)
    if seconds < 0:
        raise ValueError("must not be negative")
    return seconds


def _existing_file(text: str) -> Path:
    if not Path(text).exists() or Path(text).is_dir():
        raise ValueError("there is no such file")
    return Path(text)


def _directory(text: str) -> Path:
    """One that exists, or may be made."""
    if Path(text).exists() and not Path(text).is_dir():
        raise ValueError("not a directory")
    return Path(text)


def _node_name(text: str) -> str:
    """Empty for the machine's own."""
    if text and not _SUBDOMAIN.fullmatch(text.lower()):
        raise ValueError("not a node name: letters, digits, '-' and '.', beginning and ending with a letter or digit")
    return text


def _domain(text: str) -> str:
    if text and not _SUBDOMAIN.fullmatch(text):
        raise ValueError('not a domain such as "cluster.local"')
    return text


def _labels(text: str) -> dict[str, str]:
    values = _pairs(text)
    for key, value in values.items():
        if not is_label_key(key):
            raise ValueError(f'"{key}" is not a label\'s key')
        if not is_label_value(value):
            raise ValueError(f'"{value}" is not a label\'s value')
    return values


def _endpoint(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("unix", "tcp", "http", "https") or not (parts.netloc or parts.path):
        raise ValueError('not an endpoint such as "unix:///var/run/docker.sock"')
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


def _format_size(amount: int) -> str:
    """10485760 -> "10Mi"."""
    for suffix, unit in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if amount % unit == 0:
            return f"{amount // unit}{suffix}"
    return str(amount)


def _ipv4_network(text: str) -> IPv4Network:
    network = parse_network(text)
    if not isinstance(network, IPv4Network):
        raise ValueError("only IPv4 is supported")
    return network


def _reserved(text: str) -> dict[str, int]:
    """Amounts of resources, CPU in thousandths, everything else in its own unit."""
    amounts: dict[str, int] = {}
    for name, value in _pairs(text).items():
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
    return tuple(parse_threshold(item) for item in _items(text))


def _sysctls(text: str) -> tuple[str, ...]:
    """Names of kernel parameters, or prefixes of names that end in ``*``."""
    names = tuple(_items(text))
    for name in names:
        if not _SYSCTL.fullmatch(name):
            raise ValueError(f'"{name}" is not the name of a kernel parameter')
    return names


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _pairs(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for item in _items(text):
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise ValueError(f'"{item}" must be "key=value"')
        values[key] = value
    return values


PERIOD = ValueType(_period, format_duration, "DURATION")
AGE = ValueType(_age, format_duration, "DURATION")
PERCENT = number(0, 100)
PORT = number(0, 65535)
FILE = ValueType(_existing_file, str, "PATH")
DIRECTORY = ValueType(_directory, str, "PATH")
NODE_NAME = ValueType(_node_name, str, "STRING")
DOMAIN = ValueType(_domain, str, "STRING")
LABELS = ValueType(_labels, lambda labels: ",".join(f"{key}={value}" for key, value in labels.items()), "KEY=VALUE,...")
ENDPOINT = ValueType(_endpoint, str, "URL")
IMAGE = ValueType(_image, str, "IMAGE")
SIZE = ValueType(_size, _format_size, "QUANTITY")
IPV4_NETWORK = ValueType(_ipv4_network, str, "CIDR")
RESERVED = ValueType(_reserved, _format_reserved, "RESOURCE=QUANTITY,...")
THRESHOLDS = ValueType(_thresholds, lambda thresholds: ",".join(map(str, thresholds)), "SIGNAL<QUANTITY,...")
SYSCTLS = ValueType(_sysctls, ",".join, "STRING,...")
