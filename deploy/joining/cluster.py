"""What a cluster must have so that machines can join: ``cluster-info``, and the rights of bootstrap tokens and nodes."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from apimachinery import errors
from apimachinery.core import bootstrap_tokens, cluster_info
from apimachinery.core.bootstrap_tokens import NODE_BOOTSTRAPPERS, Token
from apimachinery.core.signing_requests import NODES_GROUP
from apimachinery.types.core_v1 import Secret
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.objects import KubeObject
from apimachinery.types.rbac_v1 import ClusterRoleBinding, RoleRef, Subject
from kube_client import Client

_RBAC: Final = "rbac.authorization.k8s.io"
_REQUESTS: Final = "system:certificates.k8s.io:certificatesigningrequests"
_BINDINGS: Final = (
    ("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", NODE_BOOTSTRAPPERS),
    ("kubeadm:node-autoapprove-bootstrap", f"{_REQUESTS}:nodeclient", NODE_BOOTSTRAPPERS),
    ("kubeadm:node-autoapprove-certificate-rotation", f"{_REQUESTS}:selfnodeclient", NODES_GROUP),
)
"""kubeadm's: who may request a certificate, who gets that of a new node, and who that of the node it is."""


def objects(server: str, authority: bytes) -> list[KubeObject]:
    """``server`` is the URL at which nodes reach the apiserver, ``authority`` the CA of its certificate, in PEM."""
    bindings = [
        ClusterRoleBinding(
            metadata=ObjectMeta(name=name),
            role_ref=RoleRef(api_group=_RBAC, kind="ClusterRole", name=role),
            subjects=[Subject(kind="Group", api_group=_RBAC, name=group)],
        )
        for name, role, group in _BINDINGS
    ]
    return [*bindings, *cluster_info.access(), cluster_info.config_map(server, authority)]


async def prepare(client: Client, server: str, authority: bytes) -> None:
    """Create what is missing; what exists may have been changed on purpose, and stays. Raises ``errors.ApiError``."""
    for obj in objects(server, authority):
        with suppress(errors.AlreadyExists):
            await client.resource(type(obj)).create(obj)


async def new_token(client: Client, life: timedelta | None, description: str = "") -> Token:
    """A token with which machines can join; without a ``life`` until it is deleted. Raises ``errors.ApiError``."""
    token = Token.generate()
    expiration = datetime.now(UTC) + life if life is not None else None
    secret = bootstrap_tokens.secret_for(token, expiration, description=description)
    await client.resource(Secret).create(secret)
    return token


def join_command(server: str, token: Token, authority: bytes) -> str:
    """What to type on a machine, as root."""
    pin = cluster_info.public_key_hash(authority)
    return f"kube-join --server={server} --token={token} --discovery-token-ca-cert-hash={pin}"
