"""A server with a certificate that the cluster issues: it begins to serve once there is one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from apimachinery.core.certificates import Validity
from apimachinery.types.core_v1 import Node
from component_base.serving import TLS, Address, Server
from kube_client import Client
from kubelet.certificates import metrics
from kubelet.certificates.manager import CertificateManager
from kubelet.certificates.request import serving_template
from kubelet.certificates.store import CertificateStore


class CertifiedServer:
    def __init__(
        self, app: Any, address: Address, client_ca_file: Path, cert_dir: Path, client: Client,
        node: Callable[[], Node | None],
    ) -> None:  # fmt: skip
        """``node`` is this machine's, whose names and addresses the certificate has. Raises OSError for ``cert_dir``."""
        store = CertificateStore(cert_dir, "kubelet-server")
        self.manager = CertificateManager(
            store,
            client,
            lambda: serving_template(node()),
            metrics.SERVER_FAILURES,
            metrics.SERVER_ROTATIONS,
            self._renew,
        )
        metrics.show_life("server", lambda: self.manager.until)
        self._app, self._address = app, address
        self._tls = TLS(store.current, store.current, client_ca_file)
        self._server: Server | None = None

    @property
    def certificates(self) -> Mapping[Path, Validity]:
        return self._server.certificates if self._server is not None else {}

    async def _renew(self) -> None:
        if self._server is not None:
            await self._server.renew()

    async def run(self) -> None:
        """Serve until cancelled. Raises OSError if the address is unavailable."""
        await self.manager.obtained.wait()
        self._server = Server(self._app, [self._address], tls=self._tls)
        await self._server.run()
