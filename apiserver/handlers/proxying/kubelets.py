"""Where a node's kubelet listens, and how this server and the kubelet identify themselves to each other.

A Node object, which the node itself writes, only says where to look. Nothing is sent before a certificate that
``--kubelet-certificate-authority`` has signed for that address names this very node (``system:node:<name>``): neither
another node nor this server, whose port a node may claim as its kubelet's, gets a request in this server's name.
"""

import asyncio
from typing import Final

from apimachinery import errors, meta
from apimachinery.core import nodes
from apimachinery.core.well_known import NODE_USER_PREFIX
from apimachinery.meta import Key
from apimachinery.types.core_v1 import Node
from apiserver.handlers.proxying.targets import checked, is_own, not_allowed
from apiserver.handlers.proxying.upstream import Answer, Upstream, dial, read_head, why
from apiserver.registry.store import Store
from component_base.tls import RenewedContext

_DEFAULT_PORT: Final = 10250
_MOST: Final = 16 * 1024 * 1024
"""Bytes of a document that ``fetch`` reads before it gives up on the kubelet."""


class Kubelets:
    """Finds kubelets."""

    def __init__(self, nodes: Store[Node], tls: RenewedContext | None, own_port: int) -> None:
        """``own_port`` is this server's, at which there is no kubelet."""
        self._nodes, self._tls, self._own_port = nodes, tls, own_port

    async def of_node(self, name: str) -> Upstream:
        """The kubelet of a node.

        Raises:
            NotFound: there is no such node.
            BadRequest: the node names an address at which no kubelet may be.
            ServiceUnavailable: no kubelet can be reached, or this node's has no address yet.
        """
        node = self._nodes.cached(Key("", name))
        if node is None:
            raise errors.not_found("nodes", "", name)
        if self._tls is None:
            raise errors.ServiceUnavailable(
                "this server was not given --kubelet-client-certificate, so it cannot reach the nodes' kubelets"
            )
        name_or_address, port = address_of(node), port_of(node)
        host = await checked(name_or_address)
        if port == self._own_port and is_own(host):
            raise not_allowed()
        return Upstream(
            host, port, self._tls.current(), f"the kubelet of {name}", name_or_address, f"{NODE_USER_PREFIX}{name}"
        )

    def daemon_of_node(self, node: Node, host: str, port: int, anybody: Upstream) -> Upstream:
        """What listens elsewhere on a node: this server identifies itself to a daemon that has the node's own
        certificate, such as its kube-proxy, and to nobody else."""
        if self._tls is None:
            return anybody
        name = f"{NODE_USER_PREFIX}{meta.name_of(node)}"
        return Upstream(host, port, self._tls.current(), anybody.what, address_of(node), name, otherwise=anybody)

    def nodes(self) -> list[Node]:
        """All nodes, by name."""
        return self._nodes.all_cached()

    async def fetch(self, name: str, path: str, seconds: float) -> bytes:
        """A document that the kubelet serves. Raises as ``of_node``, and TimeoutError."""
        upstream = await self.of_node(name)
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
