"""Which signing requests are approved without a person, and which may go."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization

from apimachinery import meta
from apimachinery.core import signing_requests
from apimachinery.core.signing_requests import KUBELET_CLIENT, KUBELET_SERVING
from apimachinery.types.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestCondition
from apimachinery.types.core_v1 import Node, NodeAddress, NodeStatus
from apimachinery.types.meta_v1 import ObjectMeta
from controller_manager.csr_approving import permissions
from controller_manager.csr_cleaner import outdated
from controller_manager.kubelet_serving_approving import objection
from deploy.lab.certificates import new_authority
from tests.requests_for_certificates import CLIENT, SERVER, pkcs10, signing_request

NODES = ("system:nodes",)
TAKEN = {"10.0.0.1", "192.168.0.9"}
"""A service's address, and the apiserver's."""


def node(name: str, *addresses: str) -> Node:
    known = [NodeAddress(type="InternalIP", address=address) for address in addresses]
    known.append(NodeAddress(type="Hostname", address=f"{name}.example"))
    return Node(metadata=ObjectMeta(name=name), status=NodeStatus(addresses=known))


CLUSTER = [node("a", "192.168.0.1", "192.168.0.9"), node("b", "192.168.0.2"), node("c", "127.0.0.1", "192.168.0.2")]


def serving(
    names: tuple[str, ...], addresses: tuple[str, ...], user: str = "a", subject: str = "a", groups=NODES
) -> CertificateSigningRequest:
    request = pkcs10(f"system:node:{subject}", NODES, names, addresses)
    return signing_request("csr", request, KUBELET_SERVING, SERVER, f"system:node:{user}", groups)


def test_a_nodes_own_addresses_and_names_are_approved() -> None:
    assert objection(serving(("a", "a.example"), ("192.168.0.1",)), CLUSTER, TAKEN) is None


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (serving(("a",), ("192.168.0.1",), user="b"), "itself"),
        (serving(("a",), ("192.168.0.1",), groups=()), "itself"),
        (serving(("a",), ("192.168.0.7",)), "192.168.0.7 is not in the status"),
        (serving(("b",), ()), "b is not in the status"),
        (serving(("kubernetes.default.svc",), ()), "is not in the status"),
        (serving((), ("192.168.0.9",)), "192.168.0.9 is not of node a alone"),
        (serving((), ("192.168.0.2",), user="c", subject="c"), "192.168.0.2 is not of node c alone"),
        (serving((), ("127.0.0.1",), user="c", subject="c"), "127.0.0.1 is not of node c alone"),
        (serving(("z",), (), user="z", subject="z"), "no node z"),
        (serving((), ()), "required"),
    ],
)
def test_what_may_be_anothers_is_left_to_people(request_: CertificateSigningRequest, said: str) -> None:
    assert said in (objection(request_, CLUSTER, TAKEN) or "")


def test_a_node_needs_less_of_a_right_for_its_own_certificate_than_for_that_of_another() -> None:
    requested = pkcs10("system:node:a", NODES)

    def asked_for(user: str, usages: tuple[str, ...] = CLIENT) -> list[str]:
        csr = signing_request("csr", requested, KUBELET_CLIENT, usages, user)
        return [subresource for subresource, _ in permissions(csr, signing_requests.parse(requested))]

    assert asked_for("system:node:a") == ["selfnodeclient", "nodeclient"]
    assert asked_for("system:bootstrap:abcdef") == ["nodeclient"]
    assert asked_for("system:node:a", SERVER) == []


def certificate(ends: datetime) -> str:
    made = new_authority("ca", ends - timedelta(days=3650)).certificate
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


NOW = datetime.now(UTC)


def aged(hours: float, *conditions: str, ends: datetime | None = None) -> CertificateSigningRequest:
    """Made, and decided on, this long ago; ``ends`` is when its certificate expires, if it has one."""
    time = meta.format_time(NOW - timedelta(hours=hours))
    csr = CertificateSigningRequest(metadata=ObjectMeta(name="csr", creation_timestamp=time))
    csr.status.conditions = [
        CertificateSigningRequestCondition(type=type, status="True", last_update_time=time) for type in conditions
    ]
    csr.status.certificate = certificate(ends) if ends is not None else None
    return csr


LATER, BEFORE = NOW + timedelta(days=9), NOW - timedelta(minutes=1)


@pytest.mark.parametrize(
    ("csr", "goes"),
    [
        (aged(23), False),
        (aged(25), True),
        (aged(0.5, "Denied"), False),
        (aged(2, "Denied"), True),
        (aged(2, "Approved", "Failed"), True),
        (aged(2, "Approved"), False),
        (aged(0.5, "Approved", ends=LATER), False),
        (aged(2, "Approved", ends=LATER), True),
        (aged(0.5, "Approved", ends=BEFORE), True),
    ],
)
def test_a_request_goes_once_it_has_served(csr: CertificateSigningRequest, goes: bool) -> None:
    assert bool(outdated(csr, NOW)) == goes
