"""Which servers are asked about names that are not the cluster's.

Owns the list: set by a flag, or read from a resolv.conf and again when that file changes. Leaves out this very
server, under whatever address: a question sent to oneself would circulate for ever.
"""

import ipaddress
import logging
import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from component_base.values import parse_address, parse_host_port, parse_map

log = logging.getLogger(__name__)

PORT = 53
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?)*")
_RECHECK = 5.0
"""Seconds between two checks of resolv.conf."""

_MOST = 3
"""Servers taken from resolv.conf, as the C library does."""


class Server(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_server(text: str) -> Server:
    """``IP`` or ``IP:port`` (``[IPv6]:port``). Raises ValueError."""
    text = text.strip()
    if text.count(":") == 1 or (text.startswith("[") and not text.endswith("]")):
        host, port = parse_host_port(text)
    else:
        host, port = text.removeprefix("[").removesuffix("]"), PORT
    if port == 0:
        raise ValueError(f'"{text}": the port must be between 1 and 65535')
    return Server(str(parse_address(host)), port)


def parse_domain(text: str) -> str:
    """A domain in lower case, without the last dot. Raises ValueError."""
    domain = text.lower().removesuffix(".")
    if not _DOMAIN.fullmatch(domain):
        raise ValueError(f'"{text}" is not a domain')
    return domain


def parse_stub_domains(text: str) -> dict[str, tuple[Server, ...]]:
    """``domain=server[+server...],...``: domain -> its servers. Raises ValueError."""
    domains: dict[str, tuple[Server, ...]] = {}
    for name, servers in parse_map(text).items():
        domain = parse_domain(name)
        if domain in domains:
            raise ValueError(f'"{domain}" is given twice')
        domains[domain] = tuple(parse_server(server) for server in servers.split("+"))
    return domains


def own_address(bind: Sequence[str], port: int, further: Sequence[Server] = ()) -> Callable[[Server], bool]:
    """Whether a server is the one that listens on these addresses; ``further`` are other ways to it."""
    anywhere = any(ipaddress.ip_address(address).is_unspecified for address in bind)

    def is_own(server: Server) -> bool:
        if server in further:
            return True
        return server.port == port and (server.host in bind or (anywhere and _is_local(server.host)))

    return is_own


class Upstreams:
    """``servers`` wins over ``resolv_conf``; None for both means that no server is asked."""

    def __init__(
        self,
        servers: Sequence[Server] = (),
        resolv_conf: Path | None = None,
        stub_domains: Mapping[str, tuple[Server, ...]] | None = None,
        is_own: Callable[[Server], bool] = lambda server: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fixed = bool(servers)
        self._servers = tuple(servers)
        self._path = resolv_conf
        self._stubs = dict(stub_domains or {})
        self._is_own, self._clock = is_own, clock
        self._checked = float("-inf")
        self._version: tuple[int, int] | None = None

    def is_stub(self, name: str) -> bool:
        return bool(self._stubs) and self._stub(name) is not None

    def of(self, name: str) -> tuple[Server, ...]:
        """The servers to ask about a name, the preferred one first."""
        stub = self._stub(name) if self._stubs else None
        if stub is not None:
            return self._stubs[stub]
        if not self._fixed and self._path is not None and self._clock() - self._checked >= _RECHECK:
            self._checked = self._clock()
            self._reload(self._path)
        return self._servers

    def _stub(self, name: str) -> str | None:
        """The longest stub domain that contains the name."""
        while name:
            if name in self._stubs:
                return name
            name = name.partition(".")[2]
        return None

    def _reload(self, path: Path) -> None:
        try:
            state = path.stat()
            if (state.st_mtime_ns, state.st_ino) == self._version:
                return
            listed = nameservers(path.read_text(errors="replace"))
        except OSError as exc:
            log.info("%s: %s; names outside the cluster are refused for now", path, exc)
            listed, state = [], None
        self._version = (state.st_mtime_ns, state.st_ino) if state is not None else None
        servers = tuple(server for server in listed if not self._is_own(server))[:_MOST]
        for server in listed:
            if self._is_own(server):
                log.warning("%s: %s is this server itself; left out", path, server)
        if servers != self._servers or not listed:
            log.info("%s: forwarding to %s", path, ", ".join(map(str, servers)) or "nobody")
        self._servers = servers


def nameservers(text: str) -> list[Server]:
    """The servers of a resolv.conf; malformed lines are skipped, as by the C library."""
    servers = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            servers.append(Server(str(ipaddress.ip_address(words[1].partition("%")[0])), PORT))
        except ValueError:
            log.info("resolv.conf: %s is not an address", words[1])
    return servers


def _is_local(host: str) -> bool:
    """Whether the address is one of this machine's: only those can be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True
