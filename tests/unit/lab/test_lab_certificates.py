"""The identities in certificates, and when certificates are issued again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.lab import certificates, kubeconfig
from deploy.lab.certificates import LIFE, RENEW_BEFORE, Request
from deploy.lab.lab import Lab, Settings

NOW = datetime(2030, 1, 1, tzinfo=UTC)
AUTHORITY = certificates.new_authority("peapod test", NOW)
SERVER = Request("kubelet-a", "system:node:a", "system:nodes", hosts=("a", "127.0.0.1"))
CLIENT = Request("admin", "kubernetes-admin", "system:masters")


def certificate(request: Request) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    return certificates.sign(request, key.public_key(), AUTHORITY, NOW)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab("default", Settings(index=2, nodes=2), tmp_path)


@pytest.mark.parametrize(
    ("requested", "later", "reason"),
    [
        pytest.param(SERVER, timedelta(), None, id="as requested"),
        pytest.param(SERVER, LIFE - RENEW_BEFORE - timedelta(days=1), None, id="long before its end"),
        pytest.param(SERVER, LIFE - RENEW_BEFORE + timedelta(days=1), "expires on", id="near its end"),
        pytest.param(
            Request("kubelet-a", "system:node:a", "system:nodes", hosts=("a", "127.0.0.1", "10.0.0.1")),
            timedelta(),
            "other hosts",
            id="a new name",
        ),
        pytest.param(
            Request("kubelet-a", "system:node:b", "system:nodes", hosts=SERVER.hosts),
            timedelta(),
            "another subject",
            id="another identity",
        ),
    ],
)
def test_when_a_certificate_is_issued_again(requested: Request, later: timedelta, reason: str | None) -> None:
    answer = certificates.reason_to_renew(certificate(SERVER), requested, AUTHORITY.certificate, NOW + later)
    assert answer is None if reason is None else reason in (answer or "")


def test_a_certificate_of_another_authority_with_the_same_name_is_issued_again() -> None:
    other = certificates.new_authority("peapod test", NOW)
    reason = certificates.reason_to_renew(certificate(SERVER), SERVER, other.certificate, NOW)
    assert reason == "another authority signed it"


def test_clients_cannot_serve_and_servers_cannot_call() -> None:
    def purposes(request: Request) -> list[str]:
        usage = certificate(request).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        return [str(purpose._name) for purpose in usage.value]

    assert (purposes(SERVER), purposes(CLIENT)) == (["serverAuth"], ["clientAuth"])


def test_the_apiservers_certificate_names_all_its_addresses(lab: Lab) -> None:
    certificates.ensure(lab)
    names = certificates.names_in(x509.load_pem_x509_certificate((lab.pki / "apiserver.crt").read_bytes()))
    assert names == {
        "100.64.2.2",
        "100.64.2.1",
        "10.0.0.1",
        "127.0.0.1",
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    }


def test_identities_are_kubernetes_own(lab: Lab) -> None:
    identities = {request.file: (request.name, request.organization) for request in certificates.requests(lab)}
    assert identities["kubelet-client-node-2"] == ("system:node:node-2", "system:nodes")
    assert identities["kube-scheduler"] == ("system:kube-scheduler", "")
    assert identities["admin"] == ("kubernetes-admin", "system:masters")
    assert identities["apiserver-kubelet-client"] == ("kube-apiserver-kubelet-client", "")


def test_kubelets_serve_with_certificates_of_an_authority_that_signs_nothing_else(lab: Lab) -> None:
    certificates.ensure(lab)
    kubelets = x509.load_pem_x509_certificate((lab.pki / "kubelet-ca.crt").read_bytes())
    signed = {
        path.stem
        for path in lab.pki.glob("*.crt")
        if x509.load_pem_x509_certificate(path.read_bytes()).issuer == kubelets.subject
    }
    assert signed == {"kubelet-ca", "kubelet-node-1", "kubelet-node-2"}


def test_a_second_run_changes_nothing_and_a_new_node_only_adds(lab: Lab) -> None:
    assert certificates.ensure(lab)
    assert kubeconfig.ensure(lab) == 9
    before = {path: path.read_bytes() for path in lab.state.rglob("*") if path.is_file()}
    assert certificates.ensure(lab) == []
    assert kubeconfig.ensure(lab) == 0
    larger = Lab(lab.name, Settings(index=2, nodes=3), lab.checkout)
    assert certificates.ensure(larger) == ["kubelet-client-node-3", "kubelet-node-3"]
    assert {path: path.read_bytes() for path in before} == before


def test_a_key_that_is_not_the_certificates_is_replaced_with_it(lab: Lab) -> None:
    certificates.ensure(lab)
    (lab.pki / "admin.key").write_bytes((lab.pki / "kube-proxy.key").read_bytes())
    assert certificates.ensure(lab) == ["admin"]
    key = serialization.load_pem_private_key((lab.pki / "admin.key").read_bytes(), None)
    assert key.public_key() == x509.load_pem_x509_certificate((lab.pki / "admin.crt").read_bytes()).public_key()


def test_secrets_are_for_their_owner_alone(lab: Lab) -> None:
    certificates.ensure(lab)
    kubeconfig.ensure(lab)
    secret = [*lab.pki.glob("*.key"), lab.pki / "tokens.csv", lab.token, *kubeconfig.clients(lab)]
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in secret} == {path.name: "0o600" for path in secret}


def test_the_token_file_gives_the_token_the_administrators_group(lab: Lab) -> None:
    certificates.ensure(lab)
    row = (lab.pki / "tokens.csv").read_text()
    assert row == f'{lab.token.read_text().strip()},kubernetes-admin,kubernetes-admin,"system:masters"\n'
