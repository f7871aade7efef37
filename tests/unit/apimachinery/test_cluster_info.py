"""Which description of a cluster a joining machine believes."""

from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from apimachinery.core import cluster_info
from apimachinery.core.bootstrap_tokens import Token
from apimachinery.core.cluster_info import Untrusted
from apimachinery.types.core_v1 import ConfigMap
from tests.certificates import Authority

SERVER = "https://10.0.0.5:6443"
TOKEN, OTHER = Token("abcdef", "0123456789abcdef"), Token("ghijkl", "fedcba9876543210")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return Authority(tmp_path_factory.mktemp("ca")).cert.read_bytes()


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return Authority(tmp_path_factory.mktemp("stranger")).cert.read_bytes()


def info(authority: bytes, *tokens: Token) -> ConfigMap:
    made = cluster_info.config_map(SERVER, authority)
    made.data = cluster_info.signed(made.data or {}, tokens)
    return made


def test_a_signature_is_a_detached_jws_that_any_library_verifies(authority: bytes) -> None:
    data = info(authority, TOKEN).data or {}
    content, signature = data["kubeconfig"], data["jws-kubeconfig-abcdef"]
    header, nothing, mac = signature.split(".")
    assert not nothing
    assert jwt.get_unverified_header(signature) == {"alg": "HS256", "kid": "abcdef"}
    payload = jwt.utils.base64url_encode(content.encode()).decode()
    algorithm = jwt.get_algorithm_by_name("HS256")
    expected = algorithm.sign(f"{header}.{payload}".encode(), algorithm.prepare_key(TOKEN.secret))
    assert jwt.utils.base64url_decode(mac) == expected


def test_signing_again_changes_nothing_and_drops_tokens_that_are_gone(authority: bytes) -> None:
    data = info(authority, TOKEN, OTHER).data or {}
    assert cluster_info.signed(data, [TOKEN, OTHER]) == data
    assert {*cluster_info.signed(data, [OTHER])} == {"kubeconfig", "jws-kubeconfig-ghijkl"}


def test_who_knows_the_token_and_the_hash_gets_server_and_authority(authority: bytes) -> None:
    pin = cluster_info.public_key_hash(authority)
    assert cluster_info.is_public_key_hash(pin)
    assert cluster_info.trusted_cluster(info(authority, TOKEN), TOKEN, [pin]) == (SERVER, authority)
    assert cluster_info.trusted_cluster(info(authority, TOKEN), TOKEN, []) == (SERVER, authority)


def test_the_hash_is_that_of_the_public_key_alone(authority: bytes) -> None:
    certificate = x509.load_pem_x509_certificate(authority)
    der = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    assert cluster_info.public_key_hash(authority) == f"sha256:{digest.finalize().hex()}"


def test_an_authority_with_another_hash_is_not_trusted(authority: bytes, stranger: bytes) -> None:
    with pytest.raises(Untrusted, match="public key"):
        cluster_info.trusted_cluster(info(stranger, TOKEN), TOKEN, [cluster_info.public_key_hash(authority)])


def test_an_authority_that_hides_behind_a_pinned_one_is_not_trusted(authority: bytes, stranger: bytes) -> None:
    pin = cluster_info.public_key_hash(authority)
    _, trusted = cluster_info.trusted_cluster(info(authority + stranger, TOKEN), TOKEN, [pin])
    assert trusted == authority


def test_what_the_token_has_not_signed_is_not_trusted(authority: bytes, stranger: bytes) -> None:
    forged = info(authority, TOKEN)
    forged.data = {**(forged.data or {}), "kubeconfig": (info(stranger).data or {})["kubeconfig"]}
    with pytest.raises(Untrusted, match="signature"):
        cluster_info.trusted_cluster(forged, TOKEN, [])
    with pytest.raises(Untrusted, match="not signed"):
        cluster_info.trusted_cluster(info(authority, OTHER), TOKEN, [])
    with pytest.raises(Untrusted, match="signature"):
        cluster_info.trusted_cluster(info(authority, TOKEN), Token(TOKEN.id, OTHER.secret), [])


@pytest.mark.parametrize("content", ["", "a: [", "clusters: []", "clusters: [{cluster: {server: a}}]", "- " * 9999])
def test_a_signed_text_that_is_no_kubeconfig_is_refused(content: str) -> None:
    signed = ConfigMap(data=cluster_info.signed({"kubeconfig": content}, [TOKEN]))
    with pytest.raises(Untrusted, match="names no server"):
        cluster_info.trusted_cluster(signed, TOKEN, [])


def test_the_authority_must_be_a_certificate(tmp_path: Path) -> None:
    with pytest.raises(Untrusted, match="no PEM certificate"):
        cluster_info.trusted_cluster(info(b"junk", TOKEN), TOKEN, ["sha256:" + "0" * 64])
