"""``proxy`` of nodes, pods and services: any request, to what they serve themselves.

A node without a port (or with its kubelet's) is its kubelet, which gets to see this server's certificate; everything
else is reached without one, and over TLS where the path says ``https``, whatever certificate is presented. The client's
own credentials are not passed on. A node's other ports are not proxied to where its address is this machine's own: what
listens there takes this server for a local client.
"""

import ssl
from functools import cached_property
from typing import Final

from apimachinery import errors
from apimachinery.meta import Key
from apimachinery.types.core_v1 import EndpointAddress, Endpoints, Node, Pod, Service
from apiserver.handlers.http import Request
from apiserver.handlers.proxying.kubelets import Kubelets, address_of, port_of
from apiserver.handlers.proxying.links import HtmlLinks, Links
from apiserver.handlers.proxying.relay import Changes, Filter, relay
from apiserver.handlers.proxying.targets import (
    Target,
    checked,
    is_own,
    may_be_reached,
    not_allowed,
    parse_target,
    pod_address,
    port_number,
    ready_addresses,
    service_port_name,
)
from apiserver.handlers.proxying.upstream import Answer, Upstream
from apiserver.handlers.verbs import Call
from apiserver.registry.resources import Resources

_CORS: Final = frozenset(
    (
        b"access-control-allow-origin", b"access-control-allow-credentials", b"access-control-allow-headers",
        b"access-control-allow-methods",
    )
)  # fmt: skip
_REDIRECTING: Final = ("GET", "HEAD")


class Proxies:
    def __init__(self, resources: Resources, kubelets: Kubelets) -> None:
        self._resources, self._kubelets = resources, kubelets

    async def connect(self, call: Call) -> None:
        """Raises NotFound, BadRequest, ServiceUnavailable."""
        request, attributes = call.request, call.attributes
        prefix, path = split_path(request, attributes.namespace)
        query = b"?" + request.scope["query_string"] if request.scope["query_string"] else b""
        if not path and request.method in _REDIRECTING and "upgrade" not in request.scope["extensions"]:
            # without the slash the relative links of the answer would lead elsewhere
            await request.start(301, [(b"location", prefix + b"/" + query), (b"content-length", b"0")])
            await request.chunk(b"", more=False)
            return
        kind = attributes.resource.removesuffix("s")
        upstream = await self._upstream(kind, attributes.namespace, parse_target(attributes.name, kind))
        await relay(request, upstream, (path or b"/") + query, _changes(request, upstream, prefix, path))

    async def _upstream(self, kind: str, namespace: str, target: Target) -> Upstream:
        match kind:
            case "node":
                return await self._node(target)
            case "pod":
                pod = (await self._resources.store(Pod).get(Key(namespace, target.name))).object
                host, port = pod_address(pod, target)
            case _:
                host, port = await self._endpoint(namespace, target)
        what = f"{kind} {namespace}/{target.name}"
        return Upstream(await checked(host), port, self._unverified if target.is_tls else None, what)

    async def _node(self, target: Target) -> Upstream:
        node = (await self._resources.store(Node).get(Key("", target.name))).object
        if not target.port or target.port == str(port_of(node)):
            return await self._kubelets.of_node(target.name)
        host = await checked(address_of(node))
        if is_own(host):
            raise not_allowed()
        port, what = port_number(target.port), f"node {target.name}"
        if not target.is_tls:
            return Upstream(host, port, None, what)
        anybody = Upstream(host, port, self._unverified, what)
        return self._kubelets.daemon_of_node(node, host, port, anybody)

    async def _endpoint(self, namespace: str, target: Target) -> tuple[str, int]:
        """A ready endpoint of a service's port."""
        key = Key(namespace, target.name)
        service = (await self._resources.store(Service).get(key)).object
        name = service_port_name(service, target)
        try:
            endpoints = (await self._resources.store(Endpoints).get(key)).object
        except errors.NotFound:
            endpoints = None
        for address, port in ready_addresses(endpoints, name) if endpoints is not None else ():
            if may_be_reached(address.ip) and self._is_genuine(address, namespace):
                return address.ip, port
        raise errors.ServiceUnavailable(f'no endpoints available for service "{target.name}"')

    def _is_genuine(self, address: EndpointAddress, namespace: str) -> bool:
        """Whether the pod that an endpoint names, if it does, has that address (still)."""
        reference = address.target_ref
        if reference is None or reference.kind != "Pod":
            return True
        pod = self._resources.store(Pod).cached(Key(reference.namespace or namespace, reference.name or ""))
        return pod is not None and address.ip in {pod.status.pod_ip, *(ip.ip for ip in pod.status.pod_ips or ())}

    @cached_property
    def _unverified(self) -> ssl.SSLContext:
        """Pods present certificates whose issuers this server does not know."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


def split_path(request: Request, namespace: str) -> tuple[bytes, bytes]:
    """The path up to ``proxy``, and what follows it, as the client wrote them. Raises NotFound."""
    segments: list[bytes] = request.scope["raw_path"].split(b"/")
    at = 7 if namespace else 5
    if segments[at : at + 1] != [b"proxy"]:
        raise errors.NotFound("the server could not find the requested resource")
    after = segments[at + 1 :]
    return b"/".join(segments[: at + 1]), b"/" + b"/".join(after) if after else b""


def _changes(request: Request, upstream: Upstream, prefix: bytes, path: bytes) -> Changes:
    own = request.headers.get("host", "")
    links = Links(prefix.decode("latin-1"), (upstream.authority, upstream.host, own))
    takes_html = "html" in request.headers.get("accept", "")

    def of_request(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        # A page must be readable to have its links changed.
        left_out = {b"x-forwarded-for", b"x-forwarded-uri", *([b"accept-encoding"] if takes_html else [])}
        before = [value for name, value in headers if name == b"x-forwarded-for"]
        client = request.scope.get("client")
        came_by = [*before, *([client[0].encode()] if client else [])]
        others = [header for header in headers if header[0] not in left_out]
        return [*others, (b"x-forwarded-for", b", ".join(came_by)), (b"x-forwarded-uri", prefix + path)]

    def of_answer(answer: Answer) -> list[tuple[bytes, bytes]]:
        return [
            (name, links.rewritten(value.decode("latin-1")).encode("latin-1") if name == b"location" else value)
            for name, value in answer.headers
            if name not in _CORS
        ]

    def body(answer: Answer) -> Filter | None:
        is_html = answer.header(b"content-type").split(b";")[0].strip().lower() == b"text/html"
        return HtmlLinks(links) if is_html and not answer.header(b"content-encoding") else None

    return Changes(of_request, of_answer, body)
