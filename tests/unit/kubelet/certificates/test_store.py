"""The kubelet's certificate files, whenever it may end."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from kubelet.certificates.store import CertificateStore, key_to_pem, read_pair
from tests.certificates import Authority, KeyPair

NODE = ("system:node:a", ("system:nodes",))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def store_in(tmp_path: Path) -> CertificateStore:
    return CertificateStore(tmp_path / "pki", "kubelet-client")


def put(store: CertificateStore, pair: KeyPair) -> None:
    store.update(pair.cert.read_bytes(), pair.key.read_bytes())


def test_the_current_certificate_is_behind_a_link_and_readable_by_its_owner_alone(
    tmp_path: Path, authority: Authority
) -> None:
    store = store_in(tmp_path)
    assert store.load() is None
    pair = authority.issue("a", *NODE)
    put(store, pair)
    assert store.current == tmp_path / "pki" / "kubelet-client-current.pem"
    target = Path(os.readlink(store.current))
    assert target.name.startswith(f"kubelet-client-{datetime.now(UTC):%Y-%m-%d}")
    assert store.current.stat().st_mode & 0o777 == 0o600
    assert store.current.parent.stat().st_mode & 0o777 == 0o700
    loaded = store_in(tmp_path).load()
    assert loaded is not None
    assert loaded.certificate == x509.load_pem_x509_certificate(pair.cert.read_bytes())


def test_one_predecessor_stays_and_older_ones_go(tmp_path: Path, authority: Authority) -> None:
    store = store_in(tmp_path)
    for name in "abcd":
        put(store, authority.issue(name, *NODE))
    files = sorted(path.name for path in store.current.parent.iterdir())
    assert len(files) == 3
    assert files[1] == os.readlink(store.current)
    assert files[2] == "kubelet-client-current.pem"


def test_a_key_waits_until_its_certificate_is_there(tmp_path: Path, authority: Authority) -> None:
    store = store_in(tmp_path)
    key = key_to_pem(store.pending_key())
    waiting = tmp_path / "pki" / "kubelet-client.key.tmp"
    assert waiting.stat().st_mode & 0o777 == 0o600
    assert key_to_pem(store_in(tmp_path).pending_key()) == key  # after a restart
    put(store, authority.issue("a", *NODE))
    assert not waiting.exists()
    assert key_to_pem(store.pending_key()) != key


def test_what_a_killed_kubelet_left_half_done_is_done_anew(tmp_path: Path, authority: Authority) -> None:
    store = store_in(tmp_path)
    put(store, authority.issue("a", *NODE))
    before = store.load()
    folder = tmp_path / "pki"
    (folder / "kubelet-client-updated.pem").symlink_to("nowhere")
    (folder / "kubelet-client-2026-01-01-00-00-00.pem.new").write_text("half")
    (folder / "kubelet-client.key.tmp").write_text("-----BEGIN PRIV")
    assert store_in(tmp_path).load() == before
    store.pending_key()
    put(store, authority.issue("b", *NODE))
    after = store.load()
    assert after is not None
    assert after != before


def test_files_that_cannot_be_used_count_as_none(tmp_path: Path, authority: Authority) -> None:
    store = store_in(tmp_path)
    pair, other = authority.issue("a", *NODE), authority.issue("b", *NODE)
    for text in (
        b"junk",
        pair.cert.read_bytes(),
        pair.key.read_bytes(),
        pair.cert.read_bytes() + other.key.read_bytes(),
    ):
        store.current.write_bytes(text)
        assert store.load() is None
    with pytest.raises(ValueError, match="not that of the certificate"):
        read_pair(pair.cert.read_bytes() + other.key.read_bytes())
