"""A client's identity and its trust, over TLS."""

import asyncio
import datetime
import ipaddress
import os
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apimachinery import errors
from apimachinery.types import core_v1
from component_base.event_loop import Loop
from component_base.serving import TLS, Server
from deploy.lab.kubeconfig import document
from kube_client import Client, Config, load_config, metrics, rest
from kube_client.config import ConfigError, Material
from tests.support import eventually

PAGE = b'{"metadata":{"resourceVersion":"1"},"items":[]}'


def self_signed(folder: Path, name: str) -> tuple[Path, Path]:
    """Certificate and key files, for 127.0.0.1 and the name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    alternatives = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName(f"{name}.example")]
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}.crt", folder / f"{name}.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return files


class Whoami:
    """Answers every request with an empty list, and notes who asked."""

    def __init__(self) -> None:
        self.users: list[str | None] = []

    async def __call__(self, scope, receive, send) -> None:
        certificate = scope["extensions"]["tls"]["client_certificate"]
        self.users.append(certificate and certificate.common_name)
        headers = [(b"connection", b"close"), (b"content-length", str(len(PAGE)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": PAGE})


@pytest.fixture
def app() -> Whoami:
    return Whoami()


@pytest.fixture
async def server(app: Whoami, tmp_path: Path):
    cert, key = self_signed(tmp_path, "server")
    cas = tmp_path / "clients.crt"
    cas.write_bytes(b"".join(self_signed(tmp_path, name)[0].read_bytes() for name in ("alice", "bob")))
    async with Server(app, [("127.0.0.1", 0)], tls=TLS(cert, key, client_ca_file=cas)) as server:
        yield server


def config(server: Server, folder: Path, **fields) -> Config:
    return Config(server=f"https://127.0.0.1:{server.port}", ca=Material(path=folder / "server.crt"), **fields)


def identity(folder: Path, name: str) -> dict[str, Material]:
    return {
        "client_certificate": Material(path=folder / f"{name}.crt"),
        "client_key": Material(data=(folder / f"{name}.key").read_bytes()),
    }


async def test_the_client_shows_its_certificate(server: Server, app: Whoami, tmp_path: Path) -> None:
    async with Client(config(server, tmp_path, **identity(tmp_path, "alice"))) as client:
        await client.resource(core_v1.Pod).list()
    async with Client(config(server, tmp_path)) as client:
        await client.resource(core_v1.Pod).list()
    assert app.users == ["alice", None]


async def test_a_certificate_that_is_replaced_is_shown_on_new_connections(
    server: Server, app: Whoami, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / "current.crt", tmp_path / "current.key"]
    for file in files:
        file.write_bytes((tmp_path / f"alice{file.suffix}").read_bytes())
    materials = {"client_certificate": Material(path=files[0]), "client_key": Material(path=files[1])}
    async with Client(config(server, tmp_path, **materials)) as client:
        await client.resource(core_v1.Pod).list()
        for file in files:
            (tmp_path / f"bob{file.suffix}").rename(file)
        monkeypatch.setattr(rest, "_CREDENTIALS_AGE", 0)
        await client.resource(core_v1.Pod).list()
    assert app.users == ["alice", "bob"]


class Streaming(Whoami):
    """Keeps connections open; a watch lasts until ``ended`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()

    async def __call__(self, scope, receive, send) -> None:
        certificate = scope["extensions"]["tls"]["client_certificate"]
        self.users.append(certificate.common_name)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if b"watch=true" in scope["query_string"]:
            await send({"type": "http.response.body", "body": b"{}\n", "more_body": True})
            await self.ended.wait()
        await send({"type": "http.response.body", "body": PAGE})


def write_kubeconfig(folder: Path, port: int, user: str) -> Path:
    """With everything in it, as others write it anew when they renew a certificate."""
    path = folder / "kubeconfig"
    authority, certificate, key = (
        (folder / name).read_bytes() for name in ("server.crt", f"{user}.crt", f"{user}.key")
    )
    content = document(f"https://127.0.0.1:{port}", "test", user, authority, certificate, key)
    (folder / "new").write_text(yaml.safe_dump(content))
    (folder / "new").rename(path)
    return path


@pytest.fixture
def always_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "_CREDENTIALS_AGE", 0)


@pytest.mark.usefixtures("always_looking", "server")
async def test_a_kubeconfig_that_is_replaced_counts_from_then_on_and_a_watch_goes_on(tmp_path: Path) -> None:
    app = Streaming()
    tls = TLS(tmp_path / "server.crt", tmp_path / "server.key", client_ca_file=tmp_path / "clients.crt")
    async with Server(app, [("127.0.0.1", 0)], tls=tls) as streaming:
        path = write_kubeconfig(tmp_path, streaming.port, "alice")
        async with Client(load_config(path)) as client:
            async with client.stream("/api/v1/pods", params={"watch": "true"}) as chunks:
                assert await anext(chunks) == b"{}\n"
                await client.request("GET", "/api/v1/pods")
                write_kubeconfig(tmp_path, streaming.port, "bob")
                await client.request("GET", "/api/v1/pods")
                app.ended.set()
                assert await anext(chunks) == PAGE
            await client.request("GET", "/api/v1/pods")
            expires = client.certificates[path].until.timestamp()
            exposed = float(metrics.CERTIFICATE_EXPIRATION.labels(str(path))._value.get())
    assert app.users == ["alice", "alice", "bob", "bob"]
    assert expires == exposed


@pytest.mark.usefixtures("always_looking")
async def test_a_kubeconfig_that_is_half_written_changes_nothing(
    server: Server, app: Whoami, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = write_kubeconfig(tmp_path, server.port, "alice")
    async with Client(load_config(path)) as client:
        path.write_bytes(path.read_bytes()[:200])
        await client.request("GET", "/api/v1/pods")
    assert app.users == ["alice"]
    assert "cannot be loaded" in caplog.text


async def test_a_server_that_nobody_vouches_for_is_not_spoken_to(server: Server, app: Whoami, tmp_path: Path) -> None:
    stranger = Config(server=f"https://127.0.0.1:{server.port}", ca=Material(path=tmp_path / "alice.crt"))
    async with Client(stranger) as client:
        with pytest.raises(errors.ServiceUnavailable, match="TLS"):
            await client.resource(core_v1.Pod).list()
    assert app.users == []


@pytest.mark.parametrize(("name", "trusted"), [("server.example", True), ("other.example", False)])
async def test_the_servers_name_can_be_given(server: Server, tmp_path: Path, name: str, trusted: bool) -> None:
    async with Client(config(server, tmp_path, tls_server_name=name)) as client:
        if trusted:
            await client.resource(core_v1.Pod).list()
        else:
            with pytest.raises(errors.ServiceUnavailable, match="TLS"):
                await client.resource(core_v1.Pod).list()


def test_a_certificate_that_cannot_be_loaded_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot load certificates"):
        Client(Config(server="https://127.0.0.1:1", ca=Material(path=tmp_path / "none")))


def test_connections_that_are_reset_after_they_were_accepted_are_lost_and_harm_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the daemons' event loop, many at once: nothing but ServiceUnavailable, and no descriptor is left over."""
    monkeypatch.setattr(rest, "_FIRST_DELAY", 0.001)
    self_signed(tmp_path, "server")
    failures: list[str] = []

    async def ask_in_vain(client: Client) -> None:
        for _ in range(40):
            with pytest.raises(errors.ServiceUnavailable) as failure:
                await client.request("POST", "/a", body=b"{}")
            failures.append(str(failure.value))

    async def main(port: int) -> None:
        ca = Material(path=tmp_path / "server.crt")
        async with Client(Config(server=f"https://127.0.0.1:{port}", ca=ca)) as client:
            before = open_sockets()
            await asyncio.gather(*(ask_in_vain(client) for _ in range(8)))
            await eventually(lambda: open_sockets() <= before)

    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        threading.Thread(target=reset_all, args=(listener,), daemon=True).start()
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(main(listener.getsockname()[1]))
        listener.shutdown(socket.SHUT_RDWR)
    assert len(failures) == 320
    assert not [text for text in failures if "used by transport" in text or "Bad file descriptor" in text]


def open_sockets() -> int:
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            count += os.readlink(descriptor).startswith("socket:")
    return count


def reset_all(listener: socket.socket) -> None:
    with suppress(OSError):  # the listener is closed
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
