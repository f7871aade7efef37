"""Secrets at rest: what etcd really holds, through a change of keys, and when a key is lost."""

import base64
import os
from pathlib import Path
from typing import Any

import yaml

from apiserver.storage import Etcd
from tests.integration.apiserver_process import ApiserverProcess
from tests.integration.conftest import EtcdServer

KEYS = {name: base64.b64encode(os.urandom(32)).decode() for name in ("old", "new")}
PATH = "/api/v1/namespaces/default/secrets"
AT = "/registry/core/secrets/default/password"


class Configured:
    """An apiserver whose encryption may be changed between starts."""

    def __init__(self, folder: Path, etcd: EtcdServer) -> None:
        self._file, self._etcd = folder / "encryption.yaml", etcd
        self.server = ApiserverProcess(folder, etcd.url, f"--encryption-provider-config={self._file}")

    async def restart(self, *keys: str, plain_first: bool = False) -> None:
        aesgcm = {"aesgcm": {"keys": [{"name": name, "secret": KEYS[name]} for name in keys]}}
        providers: list[dict[str, Any]] = [aesgcm] if keys else []
        providers.insert(0 if plain_first else len(providers), {"identity": {}})
        document = {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": [{"resources": ["secrets"], "providers": providers}],
        }
        self._file.write_text(yaml.safe_dump(document))
        self.server.stop()
        await self.server.start()

    async def in_etcd(self) -> bytes:
        client = Etcd(self._etcd.config)
        try:
            item = await client.get(AT)
            return item.value if item is not None else b""
        finally:
            await client.close()


def secret(name: str = "password") -> dict[str, Any]:
    return {"metadata": {"name": name}, "stringData": {"password": "swordfish"}}


def data(answer: Any) -> bytes:
    return base64.b64decode(answer.json()["data"]["password"])


async def test_a_secret_is_encrypted_in_etcd_and_rewritten_with_the_key_of_today(
    etcd: EtcdServer, tmp_path: Path
) -> None:
    cluster = Configured(tmp_path, etcd)
    plain = base64.b64encode(b"swordfish")
    try:
        await cluster.restart(plain_first=True)
        async with cluster.server.http() as http:
            assert (await http.post(PATH, json=secret())).status_code == 201
            assert plain in await cluster.in_etcd()

        await cluster.restart("old")
        async with cluster.server.http() as http:
            before = await http.get(f"{PATH}/password")
            assert data(before) == b"swordfish"
            await http.put(f"{PATH}/password", json=before.json())  # changes nothing, and yet it is written
            assert (await cluster.in_etcd()).startswith(b"k8s:enc:aesgcm:v1:old:")
            again = (await http.get(f"{PATH}/password")).json()
            await http.put(f"{PATH}/password", json=again)
            after = (await http.get(f"{PATH}/password")).json()
            assert after["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]

        await cluster.restart("new", "old")
        async with cluster.server.http() as http:
            kept = await http.get(f"{PATH}/password")
            assert data(kept) == b"swordfish"
            await http.put(f"{PATH}/password", json=kept.json())

        await cluster.restart("new")
        async with cluster.server.http() as http:
            assert (await cluster.in_etcd()).startswith(b"k8s:enc:aesgcm:v1:new:")
            assert data(await http.get(f"{PATH}/password")) == b"swordfish"
            listed = await http.get(PATH, params={"limit": "1"})
            assert data_of_first(listed) == b"swordfish"
    finally:
        cluster.server.stop()


def data_of_first(answer: Any) -> bytes:
    return base64.b64decode(answer.json()["items"][0]["data"]["password"])


async def test_a_secret_whose_key_is_lost_hides_no_other_and_shows_nothing(etcd: EtcdServer, tmp_path: Path) -> None:
    cluster = Configured(tmp_path, etcd)
    try:
        await cluster.restart("old")
        async with cluster.server.http() as http:
            await http.post(PATH, json=secret())
        await cluster.restart("new")
        async with cluster.server.http() as http:
            assert (await http.post(PATH, json=secret("other"))).status_code == 201
            listed = (await http.get(PATH)).json()["items"]
            assert [item["metadata"]["name"] for item in listed] == ["other"]
            taken = await http.post(PATH, json=secret())
            assert taken.status_code == 409
            lost = await http.get(f"{PATH}/password")
            assert lost.status_code in (404, 500)
            assert "k8s:enc" not in lost.text
        assert "cannot be decrypted" in cluster.server.log.read_text()
    finally:
        cluster.server.stop()
