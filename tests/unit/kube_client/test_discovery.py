"""What a joining machine believes a server that nobody vouches for; over real TLS."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from apimachinery import codec, errors
from apimachinery.core import cluster_info
from apimachinery.core.bootstrap_tokens import Token
from apimachinery.core.cluster_info import Untrusted, public_key_hash
from apimachinery.types.core_v1 import ConfigMap
from component_base.flags import parse
from component_base.serving import TLS, Server
from deploy.joining.cluster import join_command
from deploy.joining.join import JoinOptions, join
from kube_client import load_config
from kube_client.discovery import bootstrap_kubeconfig, discover
from tests.certificates import Authority
from tests.processes import free_port
from tests.refused_flags import refusal

TOKEN = Token("abcdef", "0123456789abcdef")


class Api:
    """Serves ``cluster-info``, and notes what clients show of themselves."""

    def __init__(self, info: ConfigMap) -> None:
        self.info, self.shown = info, []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["path"] == cluster_info.PATH
        self.shown += [value for name, value in scope["headers"] if name == b"authorization"]
        body = codec.encode(self.info)
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(
    authority: Authority, signed_by: Token, names: Authority | None = None
) -> AsyncIterator[tuple[str, Api]]:
    """A cluster's server; ``names`` is the authority that it says is the cluster's, instead of its own."""
    port, pair = free_port(), authority.issue("apiserver", "kube-apiserver")
    url = f"https://127.0.0.1:{port}"
    info = cluster_info.config_map(url, (names or authority).cert.read_bytes())
    info.data = cluster_info.signed(info.data or {}, [signed_by])
    api = Api(info)
    async with Server(api, [("127.0.0.1", port)], tls=TLS(pair.cert, pair.key)):
        yield url, api


@pytest.fixture
def cluster(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "cluster")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "stranger")


async def test_the_token_and_the_hash_lead_to_the_cluster(cluster: Authority, tmp_path: Path) -> None:
    authority = cluster.cert.read_bytes()
    async with serving(cluster, TOKEN) as (url, api):
        config = await discover(url, TOKEN, [public_key_hash(authority)])
        file = tmp_path / "bootstrap.kubeconfig"
        file.write_text(bootstrap_kubeconfig(config, TOKEN))
    written = load_config(file)
    assert (written.server, written.ca and written.ca.read()) == (url, authority)
    assert written.token is not None
    assert written.token.read() == str(TOKEN).encode()
    assert api.shown == []


async def test_a_server_with_another_authority_is_refused_and_never_sees_the_token(
    cluster: Authority, stranger: Authority
) -> None:
    pin = public_key_hash(cluster.cert.read_bytes())
    async with serving(stranger, TOKEN) as (url, api):  # who knows even the token
        with pytest.raises(Untrusted, match="public key"):
            await discover(url, TOKEN, [pin])
    assert api.shown == []


async def test_a_server_that_does_not_know_the_token_is_refused(stranger: Authority) -> None:
    async with serving(stranger, Token(TOKEN.id, "fedcba9876543210")) as (url, api):
        with pytest.raises(Untrusted, match="signature"):
            await discover(url, TOKEN, [])
    assert api.shown == []


async def test_a_server_that_passes_on_what_the_cluster_says_is_not_the_cluster(
    cluster: Authority, stranger: Authority
) -> None:
    async with serving(stranger, TOKEN, names=cluster) as (url, api):
        with pytest.raises(errors.ServiceUnavailable, match="TLS"):
            await discover(url, TOKEN, [public_key_hash(cluster.cert.read_bytes())])
    assert api.shown == []


async def test_the_command_writes_what_a_kubelet_needs(cluster: Authority, tmp_path: Path) -> None:
    authority = cluster.cert.read_bytes()
    files = tmp_path / "etc" / "bootstrap.kubeconfig", tmp_path / "etc" / "pki" / "ca.crt"
    async with serving(cluster, TOKEN) as (url, _):
        command = [*join_command(url, TOKEN, authority).split()[1:], f"--bootstrap-kubeconfig={files[0]}"]
        await join(parse(JoinOptions, "kube-join", argv=[*command, f"--client-ca-file={files[1]}"]).join)
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o644]
    assert load_config(files[0]).server == url
    assert files[1].read_bytes() == authority


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--token=abc"], "token"),
        (["--token=abcdef.0123456789abcdef"], "discovery-token-ca-cert-hash"),
        (
            ["--token=abcdef.0123456789abcdef", "--discovery-token-ca-cert-hash=sha256:0"],
            "discovery-token-ca-cert-hash",
        ),
        (
            [
                "--token=abcdef.0123456789abcdef",
                f"--discovery-token-ca-cert-hash=sha256:{'0' * 64}",
                "--discovery-token-unsafe-skip-ca-verification",
            ],
            "discovery-token-unsafe-skip-ca-verification",
        ),
        (["--token=abcdef.0123456789abcdef", "--server=ftp://a"], "server"),
    ],
)
def test_the_command_names_the_flag_that_is_wrong(
    flags: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"--{named}" in refusal(JoinOptions, ["--server=https://a:1", *flags], capsys)
