"""How a machine that knows only a bootstrap token learns which cluster it talks to, in kubeadm's form.

The config map ``kube-public/cluster-info`` contains a kubeconfig without a user, which anybody may read, and for each
bootstrap token a signature of it (a detached JSON Web Signature, HS256, whose key is the token's secret). Who knows the
token can tell that whoever wrote the kubeconfig knows it, too. Who also knows the hash of the authority's public key
trusts no other authority, even if a token became known. Pure.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from apimachinery.core.bootstrap_tokens import Token
from apimachinery.types.core_v1 import ConfigMap
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.rbac_v1 import PolicyRule, Role, RoleBinding, RoleRef, Subject

NAMESPACE: Final = "kube-public"
NAME: Final = "cluster-info"
PATH: Final = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{NAME}"
KUBECONFIG: Final = "kubeconfig"
_SIGNATURE_PREFIX: Final = "jws-kubeconfig-"
_READER: Final = "kubeadm:bootstrap-signer-clusterinfo"
_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")


class Untrusted(ValueError):
    """What a server says of its cluster must not be believed; the message says why."""


def public_key_hash(certificate: bytes) -> str:
    """``sha256:<hex>`` of the public key of an authority's first certificate, in PEM; raises ValueError if it is none."""
    key = x509.load_pem_x509_certificate(certificate).public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def is_public_key_hash(text: str) -> bool:
    return _HASH.fullmatch(text) is not None


def config_map(server: str, authority: bytes) -> ConfigMap:
    """``cluster-info`` of a new cluster, still without signatures. ``authority`` is in PEM, ``server`` a URL."""
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "", "cluster": cluster_entry(server, authority)}],
        "contexts": None,
        "current-context": "",
        "preferences": {},
        "users": None,
    }
    return ConfigMap(
        metadata=ObjectMeta(name=NAME, namespace=NAMESPACE),
        data={KUBECONFIG: yaml.safe_dump(document, sort_keys=False)},
    )


def cluster_entry(server: str, authority: bytes) -> dict[str, str]:
    """As a kubeconfig describes a cluster."""
    return {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}


def access() -> tuple[Role, RoleBinding]:
    """What lets everybody, with or without an identity, read ``cluster-info``."""
    metadata = ObjectMeta(name=_READER, namespace=NAMESPACE)
    group = "rbac.authorization.k8s.io"
    rules = [PolicyRule(api_groups=[""], resources=["configmaps"], resource_names=[NAME], verbs=["get"])]
    binding = RoleBinding(
        metadata=metadata,
        role_ref=RoleRef(api_group=group, kind="Role", name=_READER),
        subjects=[Subject(kind="User", api_group=group, name="system:anonymous")],
    )
    return Role(metadata=metadata, rules=rules), binding


def signed(data: Mapping[str, str], tokens: Iterable[Token]) -> dict[str, str]:
    """The config map's data with a signature of each token, and of no other."""
    content = data.get(KUBECONFIG)
    rest = {key: text for key, text in data.items() if not key.startswith(_SIGNATURE_PREFIX)}
    if content is None:
        return rest
    return rest | {_SIGNATURE_PREFIX + token.id: signature(content, token) for token in tokens}


def signature(content: str, token: Token) -> str:
    header = _base64url(json.dumps({"alg": "HS256", "kid": token.id}, separators=(",", ":")).encode())
    payload = _base64url(content.encode())
    return f"{header}..{_base64url(hmac.digest(token.secret.encode(), f'{header}.{payload}'.encode(), 'sha256'))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def trusted_cluster(info: ConfigMap, token: Token, hashes: Iterable[str]) -> tuple[str, bytes]:
    """The server and authority of a cluster: what ``info`` says, if it may be believed.

    Args:
        hashes: of the authorities' public keys; no other authority is trusted. Without any the signature has to do.

    Raises:
        Untrusted: the token has not signed it, or it names an authority that is not pinned.
    """
    data = info.data or {}
    content, claimed = data.get(KUBECONFIG), data.get(_SIGNATURE_PREFIX + token.id, "")
    if content is None:
        raise Untrusted(f"{NAMESPACE}/{NAME} has no {KUBECONFIG}")
    if not claimed:
        raise Untrusted(f"{NAMESPACE}/{NAME} is not signed with the token {token.id}: it may be unknown or expired")
    if not hmac.compare_digest(claimed.encode(), signature(content, token).encode()):
        raise Untrusted(f"the signature of {NAMESPACE}/{NAME} is not that of the token {token.id}")
    server, authority = _cluster(content)
    pinned = frozenset(hashes)
    return server, _pinned(authority, pinned) if pinned else authority


def _cluster(content: str) -> tuple[str, bytes]:
    try:
        document: Any = yaml.safe_load(content)
        cluster = document["clusters"][0]["cluster"]
        return str(cluster["server"]), base64.b64decode(cluster["certificate-authority-data"], validate=True)
    except (yaml.YAMLError, ValueError, TypeError, LookupError, RecursionError):
        raise Untrusted(f"the {KUBECONFIG} in {NAMESPACE}/{NAME} names no server and authority") from None


def _pinned(authority: bytes, hashes: frozenset[str]) -> bytes:
    """Those of the authority's certificates that are pinned, in PEM: no other that came with them is trusted."""
    try:
        certificates = x509.load_pem_x509_certificates(authority)
    except ValueError:
        raise Untrusted("the cluster's certificate authority is no PEM certificate") from None
    pems = [certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates]
    pinned = b"".join(pem for pem in pems if public_key_hash(pem) in hashes)
    if not pinned:
        raise Untrusted(f"the public key of the cluster's certificate authority is not {' or '.join(sorted(hashes))}")
    return pinned
