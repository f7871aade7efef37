"""A real apiserver as a process on loopback, with the test's own etcd."""

import os
import ssl
import sys
from pathlib import Path

import httpx
import yaml

from kube_client import Client, load_config
from tests.certificates import Authority
from tests.processes import PATIENCE, Process, free_port
from tests.support import eventually

TOKEN = "sesame"

USERS = ("ann", "bob")
"""Users without any group; their tokens are their names."""

_WITHOUT_CONTROLLERS = ("--disable-admission-plugins=ServiceAccount,StorageObjectInUseProtection",)
"""These need a controller manager; tests that run one override this flag (the last flag counts)."""


class ApiserverProcess(Process):
    """One apiserver, always on the same port with the same certificates."""

    def __init__(self, directory: Path, etcd_url: str, *arguments: str) -> None:
        self._directory, self._etcd_url, self._arguments = directory, etcd_url, arguments
        self.authority = Authority(directory)
        self._serving = self.authority.issue("apiserver", "kube-apiserver")
        self.admin = self.authority.issue("admin", "admin", ("system:masters",))
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.tokens = directory / "tokens.csv"
        users = "".join(f"{user},{user},{user}\n" for user in USERS)
        self.tokens.write_text(f'{TOKEN},admin,1,"system:masters"\n{users}')
        self.kubeconfig = self._write_kubeconfig()
        super().__init__(directory / "apiserver.log", sys.executable, "-m", "apiserver", *self.arguments)

    @property
    def arguments(self) -> list[str]:
        """Its command line."""
        return [
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            "--advertise-address=127.0.0.1",
            f"--etcd-servers={self._etcd_url}",
            f"--tls-cert-file={self._serving.cert}",
            f"--tls-private-key-file={self._serving.key}",
            f"--client-ca-file={self.authority.cert}",
            f"--token-auth-file={self.tokens}",
            *_WITHOUT_CONTROLLERS,
            *self._arguments,
        ]

    async def ready(self) -> None:
        async with self.http() as client:
            await eventually(lambda: _exists(client, "/readyz"), timeout=PATIENCE)
            # the namespaces that every cluster has are created right after that
            await eventually(lambda: _exists(client, "/api/v1/namespaces/kube-node-lease"), timeout=PATIENCE)

    def client(self) -> Client:
        """Our own client, as the administrator."""
        return Client(load_config(self.kubeconfig), user_agent="test")

    def http(self, token: str = TOKEN, **options: object) -> httpx.AsyncClient:
        """A plain HTTP client with the administrator's token, or one of ``USERS``."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, verify=self.ssl_context(), timeout=30.0, **options)  # type: ignore[arg-type]

    def ssl_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority.cert))

    def environment(self) -> dict[str, str]:
        """For kubectl: the kubeconfig, and a separate home for caches."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self._directory)}

    def _write_kubeconfig(self) -> Path:
        path = self._directory / "kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.authority.cert)}}
            ],
            "users": [
                {
                    "name": "admin",
                    "user": {"client-certificate": str(self.admin.cert), "client-key": str(self.admin.key)},
                }
            ],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path


async def _exists(client: httpx.AsyncClient, path: str) -> bool:
    try:
        return (await client.get(path)).status_code == 200
    except httpx.HTTPError:
        return False
