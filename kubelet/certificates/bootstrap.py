"""How a new node joins: with a bootstrap token it gets a client certificate, and a kubeconfig that uses it."""

import asyncio
import logging
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from component_base import files
from kube_client import Client, Config, load_config
from kube_client.config import ConfigError
from kubelet.certificates import metrics
from kubelet.certificates.manager import CertificateManager
from kubelet.certificates.request import client_template
from kubelet.certificates.store import CertificateStore, read_pair

log = logging.getLogger(__name__)

_CLUSTER: Final = "default-cluster"
_USER: Final = "default-auth"
_CONTEXT: Final = "default-context"


async def join(node: str, bootstrap_kubeconfig: Path, kubeconfig: Path, store: CertificateStore) -> None:
    """Write ``kubeconfig``, unless there is one with a valid certificate. Waits until a certificate is issued."""
    if has_valid_certificate(kubeconfig):
        log.info("%s has a valid certificate, nothing to join", kubeconfig)
        return
    template, config = client_template(node), load_config(bootstrap_kubeconfig)
    async with Client(config, user_agent="kubelet") as client:
        manager = CertificateManager(store, client, lambda: template, metrics.CLIENT_FAILURES)
        requesting = asyncio.create_task(manager.run(), name="join")
        try:
            await manager.obtained.wait()
        finally:
            requesting.cancel()
            await asyncio.wait([requesting])
    kubeconfig.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.replace(kubeconfig, yaml.safe_dump(_document(config, store.current), sort_keys=False).encode())
    log.info("joined as %s", template.common_name)


def has_valid_certificate(kubeconfig: Path) -> bool:
    """Whether the file names a client certificate that has not expired."""
    try:
        config = load_config(kubeconfig)
        if config.client_certificate is None or config.client_key is None:
            return False
        pair = read_pair(config.client_certificate.read() + b"\n" + config.client_key.read())
    except (ConfigError, OSError, ValueError) as exc:
        log.info("%s: not used: %s", kubeconfig, exc)
        return False
    return pair.until > datetime.now(UTC)


def _document(bootstrap: Config, certificate: Path) -> dict[str, Any]:
    """The same cluster, with the certificate instead of the token."""
    cluster: dict[str, Any] = {"server": bootstrap.server}
    if bootstrap.ca is not None and bootstrap.ca.path is not None:
        cluster["certificate-authority"] = str(bootstrap.ca.path.absolute())
    elif bootstrap.ca is not None:
        cluster["certificate-authority-data"] = b64encode(bootstrap.ca.read()).decode()
    if bootstrap.insecure_skip_tls_verify:
        cluster["insecure-skip-tls-verify"] = True
    if bootstrap.tls_server_name:
        cluster["tls-server-name"] = bootstrap.tls_server_name
    user = {"client-certificate": str(certificate.absolute()), "client-key": str(certificate.absolute())}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _CLUSTER, "cluster": cluster}],
        "users": [{"name": _USER, "user": user}],
        "contexts": [{"name": _CONTEXT, "context": {"cluster": _CLUSTER, "user": _USER, "namespace": "default"}}],
        "current-context": _CONTEXT,
    }
