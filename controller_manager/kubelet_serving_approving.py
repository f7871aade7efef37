"""Approves the requests of kubelets for serving certificates, so that these are renewed without anybody's help.

Kubernetes leaves these to people, since nobody but the node itself says which addresses are its own. Here a request is
approved if all of this holds; otherwise it waits for a person (``kubectl certificate approve``):

- the node's own identity requests it: its user is the common name, ``system:node:<name>``, and one of system:nodes;
- the node exists, and every address and name in the request is in its status;
- none of them is another's: of another node, of a service, or of the apiserver's endpoints.

So a stolen kubelet, which may write its node's status, gets no certificate with which it could pass for anything that
the cluster knows. Certificates of kubelets should be signed by an authority that only the apiserver trusts, and only for
kubelets (``--cluster-signing-kubelet-serving-cert-file``). On a machine that is both node and control plane the third
rule does not allow the apiserver's address: approve that request by hand.
"""

import logging
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Final

from apimachinery import meta
from apimachinery.core import signing_requests
from apimachinery.core.signing_requests import KUBELET_SERVING, NODES_GROUP, Requested
from apimachinery.core.well_known import SERVICE_NAME_LABEL
from apimachinery.meta import Key
from apimachinery.types.certificates_v1 import CertificateSigningRequest
from apimachinery.types.core_v1 import Node, Service
from apimachinery.types.discovery_v1 import EndpointSlice
from controller_manager.context import ControllerContext
from controller_manager.csr_approving import approve, awaits_decision
from kube_client import WorkQueue, process

log = logging.getLogger(__name__)

_IPS: Final = ("InternalIP", "ExternalIP")
_NAMES: Final = ("Hostname", "InternalDNS", "ExternalDNS")
_BY_USER: Final = "user"
"""Requests by who made them."""
_MESSAGE: Final = "Auto approving kubelet serving certificate: every address and name is the requesting node's."


class KubeletServingApprover:
    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._requests = context.informer(
            CertificateSigningRequest, indexes={_BY_USER: lambda csr: [csr.spec.username]}
        )
        self._nodes, self._services = context.informer(Node), context.informer(Service)
        self._slices = context.informer(EndpointSlice)
        self._queue = WorkQueue[Key]("kubelet_serving_approving")
        self._requests.feed(self._queue)
        self._nodes.feed(self._queue, self._requests_of)  # a node may report its addresses only after its request

    async def run(self) -> None:
        await process(self._queue, self.sync)

    async def sync(self, key: Key) -> None:
        csr = self._requests.get(key)
        if csr is None or not awaits_decision(csr, KUBELET_SERVING):
            return
        if fault := objection(csr, self._nodes.list(), {*self._taken()}):
            log.info("%s: not approved for %s: %s", key.name, csr.spec.username, fault)
            return
        await approve(self._client, csr, _MESSAGE)

    def _requests_of(self, node: Node) -> list[Key]:
        user = signing_requests.node_user(meta.name_of(node))
        return [meta.key_of(csr) for csr in self._requests.by_index(_BY_USER, user)]

    def _taken(self) -> Iterator[str]:
        """Addresses of services and of the apiserver."""
        for service in self._services.list():
            spec = service.spec
            ingress = (service.status.load_balancer.ingress if service.status.load_balancer else None) or ()
            yield from (*(spec.cluster_ips or ()), *(spec.external_ips or ()), *(entry.ip or "" for entry in ingress))
        for slice in self._slices.list("default"):
            if meta.labels_of(slice).get(SERVICE_NAME_LABEL) == "kubernetes":
                for endpoint in slice.endpoints or ():
                    yield from endpoint.addresses or ()


def objection(csr: CertificateSigningRequest, nodes: Iterable[Node], taken: set[str]) -> str | None:
    """Why a request is left to people; None if it may be approved. ``taken`` are addresses that are no node's."""
    try:
        requested = signing_requests.parse(csr.spec.request)
    except ValueError as exc:
        return str(exc)
    if fault := signing_requests.kubelet_serving_fault(requested, csr.spec.usages or ()):
        return fault
    if csr.spec.username != requested.common_name or NODES_GROUP not in (csr.spec.groups or ()):
        return "the node itself has not requested it"
    name = requested.common_name.removeprefix(signing_requests.NODE_USER_PREFIX)
    by_name = {meta.name_of(node): node for node in nodes}
    node = by_name.pop(name, None)
    if node is None:
        return f"there is no node {name}"
    return _names_fault(requested, node, by_name.values(), taken)


def _names_fault(requested: Requested, node: Node, others: Iterable[Node], taken: set[str]) -> str | None:
    own = {*_addresses(node, _IPS)}, {meta.name_of(node), *_addresses(node, _NAMES)}
    foreign = set(taken), set[str]()
    for other in others:
        foreign[0].update(_addresses(other, _IPS))
        foreign[1].update((meta.name_of(other), *_addresses(other, _NAMES)))
    for claimed, owned, of_others in zip((requested.addresses, requested.dns_names), own, foreign, strict=True):
        for name in claimed:
            if name not in owned:
                return f"{name} is not in the status of node {meta.name_of(node)}"
            if name in of_others or _is_loopback(name):
                return f"{name} is not of node {meta.name_of(node)} alone"
    return None


def _addresses(node: Node, types: Iterable[str]) -> list[str]:
    return [address.address for address in node.status.addresses or () if address.type in types]


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
