"""Types of option values: how they are parsed and formatted, the latter as Go prints them.

Pure. A value that does not parse raises ``ValueError`` whose message says what was expected.
"""

import enum
import ipaddress
import math
import os
import re
import stat
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, NamedTuple, NewType
from urllib.parse import urlsplit

from apimachinery import names

Duration = NewType("Duration", float)
"""Seconds. Written as Go does: "300ms", "10s", "1m30s", "2h45m"."""

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


class HostPort(NamedTuple):
    """``host:port`` or ``[v6]:port``."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class PortRange(NamedTuple):
    """``first-last``, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


class Type(enum.Enum):
    BOOL = enum.auto()
    OTHER = enum.auto()


@dataclass(frozen=True)
class ValueType:
    """How values of one flag are parsed, formatted and named in --help."""

    parse: Callable[[str], Any]
    format: Callable[[Any], str]
    metavar: str
    kind: Type = Type.OTHER
    choices: tuple[str, ...] | None = None


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def parse_duration(text: str) -> Duration:
    """Go's time.ParseDuration: "1m30s" -> 90.0."""
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if rest == "0":
        return Duration(0.0)
    parts = list(_PART.finditer(rest))
    if not parts or "".join(part.group() for part in parts) != rest:
        raise ValueError('not a duration such as "10s" or "1m30s"')
    return Duration(sign * sum(float(part[1]) * _UNITS[part[2]] for part in parts))


def format_duration(seconds: float) -> str:
    """As Go prints a time.Duration: 90 -> "1m30s", 0.3 -> "300ms", 0 -> "0s"."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    nanos = round(seconds * 1e9)
    if nanos == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanos < size * 1000:
            return _decimal(nanos / size) + unit
    minutes, rest = divmod(nanos, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    text = _decimal(rest / 1e9) + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def format_bytes(amount: int) -> str:
    """As a quantity, in the largest binary unit that keeps it whole: 10485760 -> "10Mi"."""
    for suffix, unit in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if amount and amount % unit == 0:
            return f"{amount // unit}{suffix}"
    return str(amount)


def _decimal(number: float) -> str:
    return f"{number:.9f}".rstrip("0").rstrip(".")


def parse_bool(text: str) -> bool:
    """Go's strconv.ParseBool."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError("must be true or false")


def parse_int(text: str) -> int:
    try:
        return int(text, 10)
    except ValueError:
        raise ValueError("not a whole number") from None


def parse_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("not a number") from None
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def number(lowest: int, highest: int | None = None) -> ValueType:
    """Integers of a range, both ends included."""

    def parse(text: str) -> int:
        value = parse_int(text)
        if value < lowest or (highest is not None and value > highest):
            expected = f"at least {lowest}" if highest is None else f"between {lowest} and {highest}"
            raise ValueError(f"must be {expected}")
        return value

    return ValueType(parse, str, "INT")


def parse_positive_duration(text: str) -> Duration:
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError("must be positive")
    return seconds


def parse_nonnegative_duration(text: str) -> Duration:
    seconds = parse_duration(text)
    if seconds < 0:
        raise ValueError("must not be negative")
    return seconds


def parse_port(text: str) -> int:
    port = parse_int(text)
    if not 0 <= port <= 65535:
        raise ValueError("port must be between 0 and 65535")
    return port


def parse_file(text: str) -> Path:
    """A readable file."""
    try:
        mode = Path(text).stat().st_mode
        if not stat.S_ISREG(mode):  # a FIFO would keep the daemon from starting
            raise ValueError("is a directory, not a file" if stat.S_ISDIR(mode) else "not a regular file")
        with Path(text).open("rb"):
            return Path(text)
    except OSError as exc:
        raise ValueError(f"the file cannot be read: {exc.strerror}") from None


def parse_directory(text: str) -> Path:
    """A directory that exists or can be created."""
    path = Path(text).absolute()
    nearest = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    if not nearest.is_dir():
        raise ValueError("not a directory" if nearest == path else f"{nearest} is not a directory")
    return Path(text)


def parse_object_name(text: str) -> str:
    """The name of a node, a Lease, a domain: what Kubernetes' API takes as the name of most objects."""
    if (fault := names.dns_subdomain(text)) is not None:
        raise ValueError(fault)
    return text


def parse_url(text: str) -> str:
    """``http://host:port`` or https."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError('not a URL such as "https://127.0.0.1:2379"')
    return text


def parse_address(text: str) -> IPAddress:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("not an IP address") from None


def parse_ipv4_address(text: str) -> IPv4Address:
    address = parse_address(text)
    if not isinstance(address, IPv4Address):
        raise ValueError("only IPv4 is supported")
    return address


def parse_ipv4_network(text: str) -> IPv4Network:
    network = parse_network(text)
    if not isinstance(network, IPv4Network):
        raise ValueError("only IPv4 is supported")
    return network


def parse_network(text: str) -> IPNetwork:
    if "/" not in text:
        raise ValueError('not a range of addresses such as "10.0.0.0/16"')
    try:
        return ipaddress.ip_network(text)
    except ValueError as exc:
        raise ValueError(f"not a range of addresses: {exc}") from None


def parse_host_port(text: str) -> HostPort:
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets, as in [::1]:8080")
    if not colon:
        raise ValueError('must be "host:port"')
    return HostPort(host, parse_port(port))


def parse_port_range(text: str) -> PortRange:
    first, dash, last = text.partition("-")
    if not dash:
        raise ValueError('must be "first-last", such as "30000-32767"')
    ports = PortRange(parse_port(first), parse_port(last))
    if ports.first > ports.last:
        raise ValueError("the first port is above the last")
    return ports


def parse_map(text: str) -> dict[str, str]:
    result = {}
    for item in items(text):
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise ValueError(f'"{item}" must be "key=value"')
        if key in result:
            raise ValueError(f'"{key}" is given twice')
        result[key] = value
    return result


def items(text: str) -> list[str]:
    """The items of a comma-separated list."""
    return [item.strip() for item in text.split(",") if item.strip()]


PERIOD = ValueType(parse_positive_duration, format_duration, "DURATION")
"""An interval."""
AGE = ValueType(parse_nonnegative_duration, format_duration, "DURATION")
PERCENT = number(0, 100)
PORT = number(0, 65535)
FILE = ValueType(parse_file, str, "PATH")
DIRECTORY = ValueType(parse_directory, str, "PATH")
URL = ValueType(parse_url, str, "URL")
OBJECT_NAME = ValueType(parse_object_name, str, "NAME")

_STRING = ValueType(str, str, "STRING")
_TYPES: dict[Any, ValueType] = {
    str: _STRING,
    int: ValueType(parse_int, str, "INT"),
    float: ValueType(parse_float, _decimal, "FLOAT"),
    bool: ValueType(parse_bool, lambda value: str(value).lower(), "BOOL", Type.BOOL),
    Duration: ValueType(parse_duration, format_duration, "DURATION"),
    Path: ValueType(Path, str, "PATH"),
    IPv4Address: ValueType(parse_ipv4_address, str, "IP"),
    IPAddress: ValueType(parse_address, str, "IP"),
    IPv4Network: ValueType(parse_ipv4_network, str, "CIDR"),
    IPNetwork: ValueType(parse_network, str, "CIDR"),
    HostPort: ValueType(parse_host_port, str, "HOST:PORT"),
    PortRange: ValueType(parse_port_range, str, "FIRST-LAST"),
    dict[str, str]: ValueType(parse_map, lambda value: ",".join(f"{k}={v}" for k, v in value.items()), "KEY=VALUE,..."),
}


def at_least_one(item: ValueType) -> ValueType:
    """A list that must not be empty."""
    values = list_of(item)

    def parse(text: str) -> tuple[Any, ...]:
        if not (parsed := values.parse(text)):
            raise ValueError("must not be empty")
        return tuple(parsed)

    return ValueType(parse, values.format, values.metavar)


def one_of(*choices: str) -> ValueType:
    return ValueType(_choice(str, choices), str, "STRING", choices=choices)


def value_type(hint: Any, choices: Sequence[str] | None = None, metavar: str | None = None) -> ValueType:
    """The value type of a field's annotation; ``T | None`` is treated as ``T``. Raises TypeError for unknown ones."""
    base = _base_type(hint)
    parse = _choice(base.parse, tuple(choices)) if choices else base.parse
    return ValueType(parse, base.format, metavar or base.metavar, base.kind, tuple(choices) if choices else None)


def _base_type(hint: Any) -> ValueType:
    if hint in _TYPES:
        return _TYPES[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union) and type(None) in arguments:
        members = [argument for argument in arguments if argument is not type(None)]
        return _base_type(typing.Union[tuple(members)])  # noqa: UP007  # members are known at run time only
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return list_of(_base_type(arguments[0]))
    raise TypeError(f"no flag can hold a {hint}")


def list_of(item: ValueType) -> ValueType:
    return ValueType(
        parse=lambda text: tuple(item.parse(part) for part in items(text)),
        format=lambda values: ",".join(item.format(value) for value in values),
        metavar=f"{item.metavar},...",
    )


def _choice(parse: Callable[[str], Any], choices: tuple[str, ...]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return parse(text)

    return read
