"""Connections to etcd's endpoints: TLS, limits, keepalive, and which of them to use now.

One gRPC channel per endpoint; the first that is connected serves, until a call on it is lost. A channel
reconnects by itself within half a second of its server's return. When a file of certificates has changed there are new
channels for all later calls; streams on the earlier ones go on until they end by themselves.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import grpc.aio
from aetcd.rpc import rpc_pb2_grpc

from apiserver.storage.etcd.errors import Unavailable
from component_base.tls import CHECK_FILES, Version, version_of

log = logging.getLogger(__name__)

_CONNECTED_POLL = 0.02  # s; only while no endpoint is connected, and by one caller for all


@dataclass(frozen=True)
class EtcdConfig:
    """Where etcd is and how long to wait for it. All times are in seconds."""

    endpoints: tuple[str, ...] = ("http://127.0.0.1:2379",)
    """URLs; all http or all https."""
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    request_timeout: float = 10.0
    """Deadline of one call: with the wait for a connected endpoint, and of a read with its repetitions. Longer than an
    etcd takes to start again."""
    keepalive_time: float = 10.0
    """Silence after which the connection is tried; etcd refuses less than its --grpc-keepalive-min-time (5 s)."""
    keepalive_timeout: float = 5.0
    """How long the answer to that may take."""


class Endpoint:
    """One etcd member: a channel and its stubs."""

    def __init__(self, url: str, config: EtcdConfig) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        options = _options(config)
        self.url = url
        target = f"{parts.hostname}:{parts.port or 2379}" if ":" not in (parts.hostname or "") else parts.netloc
        if parts.scheme == "https":
            self.channel = grpc.aio.secure_channel(target, _credentials(config), options)
        else:
            self.channel = grpc.aio.insecure_channel(target, options)
        self.kv: Any = rpc_pb2_grpc.KVStub(self.channel)
        self.watch: Any = rpc_pb2_grpc.WatchStub(self.channel)
        self.lease: Any = rpc_pb2_grpc.LeaseStub(self.channel)
        self.maintenance: Any = rpc_pb2_grpc.MaintenanceStub(self.channel)

    def is_connected(self) -> bool:
        """Whether a call would be sent at once; asks an idle channel to connect."""
        return self.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY


class Endpoints:
    """The members of one etcd cluster, of which one at a time is used."""

    def __init__(self, config: EtcdConfig) -> None:
        self._config, self._versions = config, _versions(config)
        self._members = [Endpoint(url, config) for url in config.endpoints]
        self.members = [*self._members]  # in the order of the configuration
        self._earlier: list[Endpoint] = []  # with certificates that have been replaced
        self._connecting = asyncio.Lock()
        self._checked = time.monotonic()

    async def connected(self, deadline: float) -> Endpoint:
        """An endpoint to send a call to.

        Raises:
            Unavailable: none was connected when the loop's clock reached ``deadline``.
        """
        if time.monotonic() - self._checked >= CHECK_FILES:
            self._renew()
        if endpoint := self._usable():
            return endpoint
        try:
            async with asyncio.timeout_at(deadline), self._connecting:
                while not (endpoint := self._usable()):  # noqa: ASYNC110 - channels have no event in common
                    await asyncio.sleep(_CONNECTED_POLL)
        except TimeoutError:
            raise Unavailable(f"no etcd endpoint answers ({', '.join(self.urls)})") from None
        return endpoint

    def avoid(self, endpoint: Endpoint) -> None:
        """Prefer the others from now on: a call to this one was lost."""
        if len(self._members) > 1 and self._members[0] is endpoint:
            self._members.append(self._members.pop(0))
            log.info("etcd %s: a call was lost; next is %s", endpoint.url, self._members[0].url)

    @property
    def urls(self) -> list[str]:
        return [member.url for member in self._members]

    async def close(self) -> None:
        for member in (*self._earlier, *self._members):
            await member.channel.close(grace=None)

    def _renew(self) -> None:
        """Make new channels if a certificate, key or authority was replaced; what cannot be read is tried again."""
        self._checked, versions = time.monotonic(), _versions(self._config)
        if versions == self._versions:
            return
        try:
            members = [Endpoint(url, self._config) for url in self._config.endpoints]
        except OSError as exc:
            log.warning("etcd: certificates have changed, but cannot be read: %s; will retry", exc)
            return
        log.info("etcd: certificates have changed, connecting anew")
        # Never closed before the end: that would cancel whoever waits for a stream on them.
        self._earlier += self._members
        self._members, self.members, self._versions = members, [*members], versions

    def _usable(self) -> Endpoint | None:
        return next((member for member in self._members if member.is_connected()), None)


def _versions(config: EtcdConfig) -> tuple[Version, ...]:
    return tuple(version_of(Path(file)) for file in (config.ca_file, config.cert_file, config.key_file) if file)


def _options(config: EtcdConfig) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", -1),  # a page of large objects; etcd bounds what can be in it
        ("grpc.max_send_message_length", -1),  # etcd's own limit answers with an error that we can tell
        ("grpc.keepalive_time_ms", int(config.keepalive_time * 1000)),
        ("grpc.keepalive_timeout_ms", int(config.keepalive_timeout * 1000)),
        # Without this a lost connection is noticed after a minute, whatever keepalive_timeout_ms says.
        ("grpc.http2.ping_timeout_ms", int(config.keepalive_timeout * 1000)),
        ("grpc.http2.max_pings_without_data", 0),  # a watch is silent for hours
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 500),
        ("grpc.min_reconnect_backoff_ms", 2000),  # gRPC's name for the time limit of one connection attempt
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]


def _credentials(config: EtcdConfig) -> grpc.ChannelCredentials:
    def content(path: str | None) -> bytes | None:
        return Path(path).read_bytes() if path else None

    return grpc.ssl_channel_credentials(
        root_certificates=content(config.ca_file),
        private_key=content(config.key_file),
        certificate_chain=content(config.cert_file),
    )
