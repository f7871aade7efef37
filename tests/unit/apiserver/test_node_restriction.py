"""What a kubelet may write into its Node, a mirror pod and a certificate signing request: rules that need no server."""

import base64
from ipaddress import IPv4Network, ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apimachinery.core.signing_requests import KUBELET_CLIENT, KUBELET_SERVING
from apimachinery.core.well_known import MIRROR_ANNOTATION
from apimachinery.types import core_v1 as v1
from apimachinery.types.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestSpec
from apimachinery.types.meta_v1 import ObjectMeta, OwnerReference
from apiserver.admission.node_restriction import (
    addresses_fault,
    forbidden_labels,
    mirror_fault,
    node_fault,
    request_fault,
)
from apiserver.authorization.node.identity import node_of
from apiserver.request import User

SERVICES = IPv4Network("10.0.0.0/16")
OWNER = OwnerReference(api_version="v1", kind="Node", name="node-1", uid="1", controller=True)


@pytest.mark.parametrize(
    ("user", "node"),
    [
        (User("system:node:a", groups=("system:nodes",)), "a"),
        (User("system:node:", groups=("system:nodes",)), ""),
        (User("system:node:a", groups=("system:authenticated",)), None),
        (User("alice", groups=("system:nodes",)), None),
    ],
)
def test_a_kubelet_is_a_name_in_a_group(user: User, node: str | None) -> None:
    assert node_of(user) == node


@pytest.mark.parametrize(
    ("label", "allowed"),
    [
        ("zone", True), ("example.com/zone", True), ("kubernetes.io/hostname", True), ("kubernetes.io/arch", True),
        ("topology.kubernetes.io/zone", True), ("node.kubernetes.io/instance-type", True),
        ("node.kubernetes.io/whatever", True), ("kubelet.kubernetes.io/x", True), ("a.kubelet.kubernetes.io/x", True),
        ("node-role.kubernetes.io/control-plane", False), ("kubernetes.io/x", False), ("k8s.io/x", False),
        ("a.k8s.io/x", False), ("node-restriction.kubernetes.io/x", False),
        ("a.node-restriction.kubernetes.io/x", False), ("topology.kubernetes.io/rack", False),
        ("notkubernetes.io/x", True),
    ],
)  # fmt: skip
def test_which_labels_are_a_kubelets_to_set(label: str, allowed: bool) -> None:
    for labels, before in (({label: "a"}, {}), ({}, {label: "a"}), ({label: "a"}, {label: "b"})):
        assert forbidden_labels(labels, before) == ([] if allowed else [label])
    assert forbidden_labels({label: "a"}, {label: "a"}) == []


def node(name: str = "node-1", **spec: object) -> v1.Node:
    return v1.Node(metadata=ObjectMeta(name=name), spec=v1.NodeSpec(**spec))  # type: ignore[arg-type]


OWNED = v1.Node(metadata=ObjectMeta(name="node-1", owner_references=[OWNER]))
TAINT = v1.Taint(key="k", effect="NoSchedule")


@pytest.mark.parametrize(
    ("made", "old", "fault"),
    [
        pytest.param(node(), None, "", id="registers"),
        pytest.param(node(taints=[TAINT]), None, "", id="registers with a taint"),
        pytest.param(node(taints=[TAINT]), node(taints=[TAINT]), "", id="keeps its taints"),
        pytest.param(node(), node(taints=[TAINT]), "modify taints", id="drops its taints"),
        pytest.param(node(taints=[TAINT]), node(), "modify taints", id="adds a taint"),
        pytest.param(node("node-2"), None, 'modify node "node-2"', id="registers another"),
        pytest.param(node(pod_cidr="10.1.0.0/24", pod_cidrs=["10.1.0.0/24"]), None, "podCIDR", id="names its podCIDR"),
        pytest.param(node(pod_cidr="10.1.0.0/24"), node(), "podCIDR", id="sets its podCIDR"),
        pytest.param(OWNED, node(), "modify ownerReferences", id="becomes owned"),
        pytest.param(OWNED, None, "modify ownerReferences", id="registers as owned"),
        pytest.param(
            node(config_source=v1.NodeConfigSource()), node(), "configSource", id="takes its settings from elsewhere"
        ),
    ],
)
def test_a_kubelets_own_node(made: v1.Node, old: v1.Node | None, fault: str) -> None:
    answer = node_fault("node-1", made, old)
    assert fault in answer if fault else not answer


def with_addresses(name: str, *addresses: str, cidr: str = "") -> v1.Node:
    made = node(name, pod_cidrs=[cidr] if cidr else None)
    made.status.addresses = [v1.NodeAddress(type="InternalIP", address=address) for address in addresses]
    return made


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("192.0.2.9", ""),
        ("192.0.2.2", "it is that of node node-2"),
        ("::ffff:192.0.2.2", "it is that of node node-2"),
        ("2001:db8:0::2", "it is that of node node-2"),
        ("10.0.0.1", "it is in the range of services"),
        ("10.1.2.3", "it is in the pod CIDR of node node-2"),
        ("10.1.1.3", "it is in the pod CIDR of node node-1"),
        ("127.0.0.1", "it may not be in the loopback range"),
        ("169.254.169.254", "it may not be in the link-local range"),
    ],
)
def test_which_addresses_a_node_may_claim(address: str, fault: str) -> None:
    mine = with_addresses("node-1", address, cidr="10.1.1.0/24")
    other = with_addresses("node-2", "192.0.2.2", "2001:db8::2", cidr="10.1.2.0/24")
    claimed = ip_address(address)
    claimed = getattr(claimed, "ipv4_mapped", None) or claimed
    answer = addresses_fault("node-1", [claimed], mine, [mine, other], SERVICES)
    assert fault in answer if fault else not answer


def mirror(**changes: object) -> v1.Pod:
    metadata = ObjectMeta(name="p", annotations={MIRROR_ANNOTATION: "h"}, owner_references=[OWNER])
    spec: dict[str, object] = {"node_name": "node-1", **changes}
    return v1.Pod(metadata=metadata, spec=v1.PodSpec(**spec))  # type: ignore[arg-type]


def owned_by(owner: OwnerReference | None, *, is_mirror: bool = True) -> v1.Pod:
    made = mirror()
    made.metadata.owner_references = [owner] if owner is not None else None
    made.metadata.annotations = made.metadata.annotations if is_mirror else None
    return made


def volume(**source: object) -> list[v1.Volume]:
    return [v1.Volume(name="v", **source)]  # type: ignore[arg-type]


TOKEN = v1.VolumeProjection(service_account_token=v1.ServiceAccountTokenProjection(path="t"))


@pytest.mark.parametrize(
    ("pod", "fault"),
    [
        pytest.param(mirror(), "", id="a mirror"),
        pytest.param(owned_by(OWNER, is_mirror=False), "can only create mirror pods", id="no mirror"),
        pytest.param(mirror(node_name="node-2"), "spec.nodeName set to itself", id="another node's"),
        pytest.param(mirror(node_name=None), "spec.nodeName set to itself", id="no node's"),
        pytest.param(owned_by(None), "owner reference set to itself", id="nobody's"),
        pytest.param(
            owned_by(OwnerReference(api_version="v1", kind="Node", name="node-2", uid="2", controller=True)),
            "owner reference set to itself",
            id="owned by another node",
        ),
        pytest.param(
            owned_by(OwnerReference(api_version="v1", kind="Node", name="node-1", uid="1")),
            "a controller owner reference",
            id="owned by no controller",
        ),
        pytest.param(mirror(service_account_name="default"), "a service account", id="an account"),
        pytest.param(
            mirror(volumes=volume(projected=v1.ProjectedVolumeSource(sources=[TOKEN]))),
            "a service account",
            id="a token",
        ),
        pytest.param(
            mirror(volumes=volume(secret=v1.SecretVolumeSource(secret_name="s"))), "reference secrets", id="a secret"
        ),
        pytest.param(
            mirror(image_pull_secrets=[v1.LocalObjectReference(name="s")]), "reference secrets", id="a pull secret"
        ),
        pytest.param(
            mirror(volumes=volume(config_map=v1.ConfigMapVolumeSource(name="c"))), "configmaps", id="a config map"
        ),
        pytest.param(
            mirror(volumes=volume(persistent_volume_claim=v1.PersistentVolumeClaimVolumeSource(claim_name="c"))),
            "persistentvolumeclaims",
            id="a claim",
        ),
        pytest.param(mirror(volumes=volume(host_path=v1.HostPathVolumeSource(path="/"))), "", id="a path of its own"),
    ],
)
def test_a_kubelet_creates_mirrors_of_its_static_pods(pod: v1.Pod, fault: str) -> None:
    answer = mirror_fault("node-1", pod)
    assert fault in answer if fault else not answer


def signing_request(signer: str, name: str, *groups: str) -> CertificateSigningRequest:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    attributes += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder(x509.Name(attributes)).sign(key, hashes.SHA256())
    text = base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
    return CertificateSigningRequest(spec=CertificateSigningRequestSpec(request=text, signer_name=signer))


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        (signing_request(KUBELET_CLIENT, "system:node:node-1", "system:nodes"), True),
        (signing_request(KUBELET_SERVING, "system:node:node-1", "system:nodes"), True),
        (signing_request(KUBELET_CLIENT, "system:node:node-2", "system:nodes"), False),
        (signing_request(KUBELET_CLIENT, "system:node:node-1", "system:nodes", "system:masters"), False),
        (signing_request(KUBELET_CLIENT, "system:node:node-1"), False),
        (signing_request("kubernetes.io/kube-apiserver-client", "system:node:node-1", "system:nodes"), False),
    ],
)
def test_a_kubelet_requests_its_own_certificates(request_: CertificateSigningRequest, allowed: bool) -> None:
    assert (request_fault("node-1", request_) == "") is allowed
