"""Where a node's kubelet listens, and how this server identifies itself to it."""

import asyncio
import ssl
from typing import Final

from apimachinery import errors, meta
from apimachinery.core import nodes
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Node
from apiserver.handlers.proxying.upstream import Answer, Upstream, dial, read_head, why
from apiserver.registry.store import Store

_DEFAULT_PORT: Final = 10250
_MOST: Final = 16 * 1024 * 1024
"""Bytes of a document that ``fetch`` reads before it gives up on the kubelet."""


class Kubelets:
    """Finds kubelets."""

    def __init__(self, nodes: Store[Node], tls: ssl.SSLContext | None) -> None:
        self._nodes, self._tls = nodes, tls

    def of_node(self, name: str) -> Upstream:
        """The kubelet of a node. Raises NotFound, and ServiceUnavailable where it cannot be reached at all."""
        node = self._nodes.cached(Key("", name))
        if node is None:
            raise errors.not_found("nodes", "", name)
        if self._tls is None:
            raise errors.ServiceUnavailable(
                "this server was not given --kubelet-client-certificate, so it cannot reach the nodes' kubelets"
            )
        return Upstream(address_of(node), port_of(node), self._tls, f"the kubelet of {name}")

    def nodes(self) -> list[Node]:
        """All nodes, by name."""
        return self._nodes.all_cached()

    async def fetch(self, name: str, path: str, seconds: float) -> bytes:
        """A document that the kubelet serves. Raises ServiceUnavailable, NotFound, TimeoutError."""
        upstream = self.of_node(name)
        async with asyncio.timeout(seconds):
            reader, writer = await dial(upstream)
            try:
                lines = (f"GET {path} HTTP/1.1", f"Host: {upstream.authority}", "Connection: close", "", "")
                writer.write("\r\n".join(lines).encode())
                answer = await read_head(reader)
                body = await _whole(answer, reader)
            except OSError as fault:
                raise errors.ServiceUnavailable(f"{upstream.what} broke off: {why(fault)}") from fault
            finally:
                writer.close()
        if answer.code != 200:
            raise errors.ServiceUnavailable(f"{upstream.what} answers {path} with {answer.code}")
        return body


async def _whole(answer: Answer, reader: asyncio.StreamReader) -> bytes:
    body = bytearray(answer.taken())
    while not answer.done and (data := await reader.read(65536)):
        answer.feed(data)
        body += answer.taken()
        if len(body) > _MOST:
            raise ConnectionResetError("the answer is too large")
    return bytes(body)


def port_of(node: Node) -> int:
    endpoint = node.status.daemon_endpoints.kubelet_endpoint
    return (endpoint.port if endpoint else 0) or _DEFAULT_PORT


def address_of(node: Node) -> str:
    """Raises ServiceUnavailable if the node has none yet."""
    if address := nodes.address(node, "InternalIP", "Hostname"):
        return address
    raise errors.ServiceUnavailable(f"node {meta.name_of(node)} has no address")
