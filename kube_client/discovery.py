"""How a machine that has a bootstrap token, and the hash of the cluster's authority, comes to trust an apiserver.

As ``kubeadm join`` does it: ``kube-public/cluster-info`` is read from a server that nobody vouches for, and without an
identity, so that a stranger learns nothing from us. If the token has signed it, and its authority has the pinned hash, it
is read again from a server that this authority vouches for. Only then is the token itself shown to anybody.
"""

from collections.abc import Collection
from typing import Any

import yaml

from apimachinery import codec
from apimachinery.core import cluster_info
from apimachinery.core.bootstrap_tokens import Token
from apimachinery.core.cluster_info import Untrusted
from apimachinery.types.core_v1 import ConfigMap
from kube_client.client import Client
from kube_client.config import Config, Material

_NAME = "kubernetes"
_USER = "tls-bootstrap-token-user"


async def discover(server: str, token: Token, hashes: Collection[str]) -> Config:
    """How to reach the cluster with the token.

    Args:
        server: a URL of the apiserver.
        hashes: of the authority's public key, ``sha256:<hex>``; with none of them the token alone has to do, and then
            whoever has learned it can pass for the cluster.

    Raises:
        Untrusted: the server is not that of the cluster, or does not know the token.
        errors.ApiError: it does not answer, or refuses to.
    """
    claimed = await _read(Config(server, insecure_skip_tls_verify=True))
    trusted_server, authority = cluster_info.trusted_cluster(claimed, token, hashes)
    confirmed = await _read(Config(trusted_server, ca=Material(data=authority)))
    if (confirmed.data or {}).get(cluster_info.KUBECONFIG) != (claimed.data or {}).get(cluster_info.KUBECONFIG):
        raise Untrusted(f"{trusted_server} describes another cluster than {server}")
    return Config(trusted_server, ca=Material(data=authority), token=Material(data=str(token).encode()))


async def _read(config: Config) -> ConfigMap:
    async with Client(config, user_agent="join") as client:
        return codec.decode(await client.request("GET", cluster_info.PATH), ConfigMap)


def bootstrap_kubeconfig(config: Config, token: Token) -> str:
    """The file for ``kubelet --bootstrap-kubeconfig``: the cluster, and the token as its user. It is secret."""
    authority = config.ca.read() if config.ca is not None else b""
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _NAME, "cluster": cluster_info.cluster_entry(config.server, authority)}],
        "users": [{"name": _USER, "user": {"token": str(token)}}],
        "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _USER}}],
        "current-context": _NAME,
    }
    return yaml.safe_dump(document, sort_keys=False)
