"""As whom the kubelet talks to the apiserver: its kubeconfig, with the certificate that it renews itself."""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from kube_client import Client, Config, load_config
from kube_client.config import Material
from kubelet.certificates import metrics
from kubelet.certificates.bootstrap import join
from kubelet.certificates.manager import CertificateManager
from kubelet.certificates.request import client_template
from kubelet.certificates.store import CertificateStore

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClientIdentity:
    config: Config
    store: CertificateStore | None
    """Where its certificate is renewed; None if that is left to others."""
    is_foreign: bool = False
    """Whether the certificate is still the one of the kubeconfig, that others have made."""
    bootstrap_kubeconfig: Path | None = None
    """How to join again, should the certificate have expired: the machine may have been off for long."""

    def manager(self, node: str, client: Client) -> CertificateManager | None:
        """What renews the certificate."""
        if self.store is None:
            return None
        template = client_template(node)
        manager = CertificateManager(
            self.store,
            client,
            lambda: template,
            metrics.CLIENT_FAILURES,
            on_new=client.refresh,
            bootstrap_kubeconfig=self.bootstrap_kubeconfig,
        )
        if self.is_foreign:
            manager.renew_now()
        metrics.show_life("client", lambda: manager.until)
        return manager


async def client_identity(
    node: str, kubeconfig: Path, bootstrap_kubeconfig: Path | None, cert_dir: Path, *, rotates: bool
) -> ClientIdentity:
    """Joins the cluster first, if there is no valid certificate. Raises ConfigError, or OSError for ``cert_dir``."""
    if bootstrap_kubeconfig is not None:
        await join(node, bootstrap_kubeconfig, kubeconfig, CertificateStore(cert_dir, "kubelet-client"))
    config = load_config(kubeconfig)
    if not rotates:
        return ClientIdentity(config, None)
    identity = with_own_certificate(config, CertificateStore(cert_dir, "kubelet-client"))
    return replace(identity, bootstrap_kubeconfig=bootstrap_kubeconfig)


def with_own_certificate(config: Config, store: CertificateStore) -> ClientIdentity:
    """The store's certificate in place of the kubeconfig's, which is kept there until the first one is issued."""
    certificate, key = config.client_certificate, config.client_key
    if certificate is None or key is None:
        log.warning("--rotate-certificates: the kubeconfig names no client certificate that could be renewed")
        return ClientIdentity(config, None)
    if certificate.path is not None and certificate.path.absolute() == store.current.absolute():
        return ClientIdentity(config, store)
    own = store.load()
    is_foreign = own is None or own.until <= datetime.now(UTC)
    if is_foreign:
        store.update(certificate.read().rstrip() + b"\n", key.read())
    current = Material(path=store.current)
    return ClientIdentity(
        replace(config, client_certificate=current, client_key=current, origin=None), store, is_foreign
    )
