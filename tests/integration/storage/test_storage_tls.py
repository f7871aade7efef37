"""Etcd over TLS with certificates on both sides."""

from pathlib import Path

import pytest

from apiserver.storage import Etcd, EtcdConfig
from apiserver.storage.etcd.errors import Unavailable
from tests.certificates import Authority
from tests.integration.conftest import EtcdServer


async def test_etcd_is_reached_over_tls_with_a_client_certificate_and_not_without(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("etcd", "etcd")  # serves both sides
    ca, cert, key = str(authority.cert), str(pair.cert), str(pair.key)
    server = EtcdServer(
        tmp_path, f"--trusted-ca-file={ca}", f"--cert-file={cert}", f"--key-file={key}", "--client-cert-auth"
    )
    server.config = EtcdConfig((server.url.replace("http:", "https:"),), ca, cert, key)
    try:
        await server.start()
        client = Etcd(server.config)
        assert await client.revision() >= 1
        await client.close()
        nobody = Etcd(EtcdConfig(server.config.endpoints, ca, request_timeout=1))
        with pytest.raises(Unavailable):
            await nobody.revision()
        await nobody.close()
    finally:
        server.kill()
