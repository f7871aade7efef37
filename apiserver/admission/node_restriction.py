"""What a kubelet may write: its own Node, its lease and CSINode, the pods of its node, tokens for these.

The node authorizer decides by names and references; what an object says is judged here. Facts of Kubernetes'
plugin/pkg/admission/noderestriction; beyond these a kubelet may not set its Node's pod CIDR, which the node IPAM
controller allocates, nor claim addresses that cannot be its own (``addresses_fault``), and requests certificates for no
other name than its own.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network
from typing import Final

from msgspec.structs import replace

from apimachinery import errors, meta
from apimachinery.core import pods, references, signing_requests, well_known
from apimachinery.core.addresses import special
from apimachinery.core.well_known import NODES_GROUP
from apimachinery.meta import Key
from apimachinery.types.authentication_v1 import TokenRequest
from apimachinery.types.certificates_v1 import CertificateSigningRequest
from apimachinery.types.coordination_v1 import Lease
from apimachinery.types.core_v1 import Node, PersistentVolumeClaim, Pod
from apimachinery.types.objects import KubeObject
from apimachinery.types.policy_v1 import Eviction
from apimachinery.types.storage_v1 import CSINode
from apiserver.admission import Plugin
from apiserver.authorization.node import node_of
from apiserver.authorization.node.authorizer import LEASES
from apiserver.registry.store import Store
from apiserver.request import Attributes

_SIGNERS: Final = (signing_requests.KUBELET_CLIENT, signing_requests.KUBELET_SERVING)
KUBELET_LABELS: Final = frozenset(
    (
        well_known.HOSTNAME_LABEL, well_known.OS_LABEL, well_known.ARCH_LABEL, well_known.BETA_OS_LABEL,
        well_known.BETA_ARCH_LABEL, "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
        "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
    )
)  # fmt: skip
"""Of Kubernetes' own labels those that a kubelet may set."""
_KUBELET_DOMAINS: Final = ("kubelet.kubernetes.io", "node.kubernetes.io")
_KUBERNETES_DOMAINS: Final = ("kubernetes.io", "k8s.io")
_RESTRICTED_DOMAIN: Final = "node-restriction.kubernetes.io"
_REACHED_BY: Final = ("InternalIP", "ExternalIP")

Address = IPv4Address | IPv6Address


class NodeRestriction(Plugin[KubeObject]):
    """Judges what kubelets write; everybody else passes."""

    types = (Pod, Eviction, TokenRequest, Node, PersistentVolumeClaim, Lease, CSINode, CertificateSigningRequest)

    def __init__(self, pods: Store[Pod], nodes: Store[Node], service_range: IPv4Network) -> None:
        self._pods, self._nodes, self._service_range = pods, nodes, service_range

    async def validate(self, attributes: Attributes, obj: KubeObject, old: KubeObject | None) -> None:
        node = node_of(attributes.user)
        if node is not None:
            _refuse(attributes, obj, await self._fault(node, attributes, obj, old))

    async def validate_delete(self, attributes: Attributes, old: KubeObject) -> None:
        node = node_of(attributes.user)
        if node is not None:
            _refuse(attributes, old, _deletion_fault(node, old))

    async def _fault(self, node: str, attributes: Attributes, obj: KubeObject, old: KubeObject | None) -> str:
        """Why the kubelet may not write this; empty if it may."""
        if not node:
            return f'could not determine node from user "{attributes.user.name}"'
        match obj, old:
            case Pod(), _:
                return await self._pod_fault(node, attributes, obj, old if isinstance(old, Pod) else None)
            case Eviction(), _:
                evicted = await self._pods.find(Key(attributes.namespace, attributes.name))
                is_own = evicted is not None and evicted.spec.node_name == node
                return "" if is_own else f"node {node} can only evict pods with spec.nodeName set to itself"
            case TokenRequest(), _:
                return await self._token_fault(node, attributes.namespace, obj)
            case Node(), _:
                before = old if isinstance(old, Node) else None
                return node_fault(node, obj, before) or self._addresses_fault(node, obj, before)
            case PersistentVolumeClaim(), PersistentVolumeClaim() if attributes.subresource == "status":
                return claim_status_fault(node, obj, old)
            case PersistentVolumeClaim(), _:
                return "may only update PVC status"
            case CertificateSigningRequest(), None:
                return request_fault(node, obj)
            case CertificateSigningRequest(), _:
                return f'node "{node}" can only create certificate signing requests'
        return _name_fault(node, obj)

    # -- pods

    async def _pod_fault(self, node: str, attributes: Attributes, pod: Pod, old: Pod | None) -> str:
        if attributes.verb == "delete":  # an eviction says in the status of the pod why it will be deleted
            return _deletion_fault(node, pod)
        match attributes.subresource:
            case "" if old is None:
                return mirror_fault(node, pod) or await self._owner_fault(node, pod)
            case "":
                return f'unexpected operation "UPDATE", node "{node}" can only create and delete mirror pods'
            case "status" if old is not None:
                return pod_status_fault(node, pod, old)
        return f"unexpected pod subresource \"{attributes.subresource}\", only 'status' and 'eviction' are allowed"

    async def _owner_fault(self, node: str, pod: Pod) -> str:
        [owner] = pod.metadata.owner_references or []
        own = await self._nodes.find(Key("", node))
        if own is None:
            return f'node "{node}" not found'
        uid = meta.uid_of(own)
        return "" if owner.uid == uid else f"node {node} UID mismatch: expected {owner.uid} got {uid}"

    async def _token_fault(self, node: str, namespace: str, request: TokenRequest) -> str:
        """A token is for a pod of the node, of which the apiserver knows that it is bound there."""
        ref = request.spec.bound_object_ref
        if ref is None or (ref.api_version, ref.kind) != ("v1", "Pod") or not ref.name:
            return "node requested token not bound to a pod"
        if not ref.uid:
            return "node requested token with a pod binding without a uid"
        pod = await self._pods.find(Key(namespace, ref.name))
        if pod is None:
            return f'pods "{ref.name}" not found'
        if meta.uid_of(pod) != ref.uid:
            return (
                f"the UID in the bound object reference ({ref.uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
        return "" if pod.spec.node_name == node else "node requested token bound to a pod scheduled on a different node"

    # -- the node's addresses

    def _addresses_fault(self, name: str, node: Node, old: Node | None) -> str:
        """Raises ServiceUnavailable while it is not known which nodes there are."""
        known = _addresses_of(old) if old is not None else frozenset()
        claimed = _addresses_of(node) - known
        if not claimed:
            return ""
        if not self._nodes.is_loaded:
            raise errors.ServiceUnavailable("storage is (re)initializing", retry_after=1)
        return addresses_fault(name, claimed, node, self._nodes.all_cached(), self._service_range)


def _refuse(attributes: Attributes, obj: KubeObject, fault: str) -> None:
    """Raises Forbidden if there is a fault."""
    if fault:
        raise errors.forbidden(attributes.resource, attributes.group, attributes.name or meta.name_of(obj), fault)


def _deletion_fault(node: str, old: KubeObject) -> str:
    if isinstance(old, Pod):
        is_own = old.spec.node_name == node
        return "" if is_own else f'node "{node}" can only delete pods with spec.nodeName set to itself'
    if isinstance(old, PersistentVolumeClaim):
        return "may only update PVC status"
    return _name_fault(node, old)


def _name_fault(node: str, obj: KubeObject) -> str:
    """Of what exists once for each node, under the node's name."""
    if isinstance(obj, Lease) and meta.namespace_of(obj) != LEASES:
        return f'can only access leases in the "{LEASES}" system namespace'
    if meta.name_of(obj) == node:
        return ""
    match obj:
        case Lease():
            return "can only access node lease with the same name as the requesting node"
        case CSINode():
            return "can only access CSINode with the same name as the requesting node"
    return f'node "{node}" is not allowed to modify node "{meta.name_of(obj)}"'


def mirror_fault(node: str, pod: Pod) -> str:
    """A kubelet creates pods only as mirrors of its static ones: bound to itself, owned by its Node, and without
    references to objects, to which they would give it access."""
    if not pods.is_mirror(pod):
        annotation = well_known.MIRROR_ANNOTATION
        return f'pod does not have "{annotation}" annotation, node "{node}" can only create mirror pods'
    if pod.spec.node_name != node:
        return f'node "{node}" can only create pods with spec.nodeName set to itself'
    owners = pod.metadata.owner_references or []
    if len(owners) > 1:
        return f'node "{node}" can only create pods with a single owner reference set to itself'
    if not owners or (owners[0].api_version, owners[0].kind, owners[0].name) != ("v1", "Node", node):
        return f'node "{node}" can only create pods with an owner reference set to itself'
    if not owners[0].controller:
        return f'node "{node}" can only create pods with a controller owner reference set to itself'
    if owners[0].block_owner_deletion:
        return f'node "{node}" must not set blockOwnerDeletion on an owner reference'
    if referenced := _references(pod):
        return f'node "{node}" can not create pods that reference {referenced}'
    return ""


def _references(pod: Pod) -> str:
    """Which objects a pod refers to; empty if it refers to none."""
    if pod.spec.service_account_name:
        return "a service account"
    if any(references.secrets_of(pod)):
        return "secrets"
    if any(references.config_maps_of(pod)):
        return "configmaps"
    for volume in pod.spec.volumes or ():
        for source in (volume.projected.sources or ()) if volume.projected is not None else ():
            if source.cluster_trust_bundle is not None:
                return "clustertrustbundles"
            if source.service_account_token is not None:
                return "a service account"
    return "persistentvolumeclaims" if pods.claims_of(pod) else ""


def pod_status_fault(node: str, pod: Pod, old: Pod) -> str:
    if old.spec.node_name != node:
        return f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'
    if meta.labels_of(pod) != meta.labels_of(old):
        return f'node "{node}" cannot update labels through pod status'
    if (pod.status.resource_claim_statuses or []) != (old.status.resource_claim_statuses or []):
        return f'node "{node}" cannot update resource claim statues'
    return ""


def claim_status_fault(node: str, claim: PersistentVolumeClaim, old: PersistentVolumeClaim) -> str:
    return (
        ""
        if _beside_sizes(claim) == _beside_sizes(old)
        else f'node "{node}" is not allowed to update fields other than status.capacity and status.conditions'
    )


def _beside_sizes(claim: PersistentVolumeClaim) -> PersistentVolumeClaim:
    """The claim without what its kubelet reports after it has resized the volume."""
    status = replace(
        claim.status, capacity=None, conditions=None, allocated_resources=None, allocated_resource_statuses=None
    )
    return replace(claim, status=status, metadata=replace(claim.metadata, resource_version=None, managed_fields=None))


# -- the node


def node_fault(name: str, node: Node, old: Node | None) -> str:
    """Of what a kubelet writes into its Node besides addresses."""
    if meta.name_of(node) != name:
        return f'node "{name}" is not allowed to modify node "{meta.name_of(node)}"'
    before = old if old is not None else Node()
    source = node.spec.config_source
    if source is not None and source != before.spec.config_source:
        return f'node "{name}" is not allowed to set a configSource'
    if old is not None and (node.spec.taints or []) != (old.spec.taints or []):
        return f'node "{name}" is not allowed to modify taints'
    if (node.metadata.owner_references or []) != (before.metadata.owner_references or []):
        return f'node "{name}" is not allowed to modify ownerReferences'
    if (node.spec.pod_cidr or "", node.spec.pod_cidrs or []) != (
        before.spec.pod_cidr or "",
        before.spec.pod_cidrs or [],
    ):
        return f'node "{name}" is not allowed to set its podCIDR'
    if forbidden := forbidden_labels(meta.labels_of(node), meta.labels_of(before)):
        labels = ", ".join(forbidden)
        if old is None:
            return f'node "{name}" is not allowed to set the following labels: {labels}'
        return f"is not allowed to modify labels: {labels}"
    return ""


def forbidden_labels(labels: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    """The labels that differ and are not a kubelet's to set, sorted: they steer workloads to nodes."""
    changed = {key for key in labels.keys() | before.keys() if labels.get(key) != before.get(key)}
    return sorted(key for key in changed if not _may_label(key))


def _may_label(key: str) -> bool:
    domain = key.partition("/")[0] if "/" in key else ""
    if _is_within(domain, (_RESTRICTED_DOMAIN,)):
        return False
    return not _is_within(domain, _KUBERNETES_DOMAINS) or key in KUBELET_LABELS or _is_within(domain, _KUBELET_DOMAINS)


def _is_within(domain: str, parents: Iterable[str]) -> bool:
    return any(domain == parent or domain.endswith(f".{parent}") for parent in parents)


def _addresses_of(node: Node) -> frozenset[Address]:
    """Those by which it is reached; they have been validated."""
    texts = [address.address for address in node.status.addresses or () if address.type in _REACHED_BY]
    addresses = [ip_address(text) for text in texts]
    return frozenset(getattr(address, "ipv4_mapped", None) or address for address in addresses)


def addresses_fault(
    name: str, claimed: Iterable[Address], node: Node, nodes: Iterable[Node], service_range: IPv4Network
) -> str:
    """Why a kubelet may not give its Node these addresses; empty if it may.

    Routes to its pods, services of its node ports and the apiserver's requests follow a node's addresses. What a machine
    is called by is nothing that the cluster hands out, so the kubelet is believed, but for addresses that are somebody
    else's: another node's, which has come first; a service's; a pod's, on whatever node; or no machine's at all. The
    addresses of the control plane are not among them, for its machines may be nodes, too. Whoever claims one gains
    nothing: as the kubelet of a node counts only who proves to be that node (``--kubelet-certificate-authority``), which
    takes a certificate that is approved for an address on stricter terms; and the node proxy leads to none of the
    apiserver's own addresses.
    """
    others = [other for other in nodes if meta.name_of(other) != name]
    holders = {address: meta.name_of(other) for other in others for address in _addresses_of(other)}
    for address in claimed:
        may_not = f'node "{name}" is not allowed to have the address {address}'
        if why := special(address):
            return f"{may_not}: it {why}"
        if address in holders:
            return f"{may_not}: it is that of node {holders[address]}"
        if address in service_range:
            return f"{may_not}: it is in the range of services"
        if holder := _pod_network(address, (node, *others)):
            return f"{may_not}: it is in the pod CIDR of node {holder}"
    return ""


def _pod_network(address: Address, nodes: Iterable[Node]) -> str:
    """The node of whose pods an address is; empty if it is none's."""
    for node in nodes:
        if any(address in ip_network(cidr, strict=False) for cidr in node.spec.pod_cidrs or ()):
            return meta.name_of(node)
    return ""


# -- certificates


def request_fault(node: str, request: CertificateSigningRequest) -> str:
    """A kubelet asks for its own certificates only: to be a client, and to serve."""
    if request.spec.signer_name not in _SIGNERS:
        return f'node "{node}" can only request certificates of the signers {" and ".join(_SIGNERS)}'
    requested = signing_requests.parse(request.spec.request)  # validated before
    name = signing_requests.node_user(node)
    if (requested.common_name, requested.organizations) != (name, (NODES_GROUP,)):
        return f'node "{node}" can only request certificates for itself: CN={name}, O={NODES_GROUP}'
    return ""
