"""A control plane on loopback for the time of a measurement: etcd with fsync on, an apiserver, a scheduler if asked.

TLS and identities are as in a lab. Everything is in one folder on a real disk, which the block removes.
"""

import platform
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.children import child, module
from benchmarks.endpoint import Endpoint
from benchmarks.errors import BenchmarkError
from deploy.lab import certificates, kubeconfig
from deploy.lab.certificates import Authority, Request
from deploy.lab.execute import program

READY = 30.0
"""Seconds that a daemon gets to answer."""
DATA = Path("/var/tmp")
"""Not /tmp, which is memory on many machines: there etcd's fsync would cost nothing."""


@dataclass(frozen=True)
class Cluster:
    folder: Path
    endpoint: Endpoint
    kubeconfig: Path

    @contextmanager
    def scheduler(self) -> Iterator["Scheduler"]:
        """A scheduler beside the block. It begins to work as soon as it has read what is there."""
        argv = module("scheduler", f"--kubeconfig={self.kubeconfig}", "--bind-address=127.0.0.1")
        log = self.folder / "scheduler.log"
        with child([*argv, f"--secure-port={free_port()}"], log) as process:
            yield Scheduler(process, log)


@dataclass(frozen=True)
class Scheduler:
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raises BenchmarkError when it does not run any more."""
        if self.process.poll() is not None:
            raise BenchmarkError(f"the scheduler ended: {_last_lines(self.log)}")


@contextmanager
def loopback_cluster() -> Iterator[Cluster]:
    """etcd and one apiserver, ready. Both and all their data are gone after the block."""
    folder = Path(tempfile.mkdtemp(prefix="peapod-bench-", dir=DATA))
    try:
        with _etcd(folder) as etcd, _apiserver(folder, etcd) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _etcd(folder: Path) -> Iterator[str]:
    client, peer = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    argv = [
        program("etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--max-request-bytes=8388608",
        "--logger=zap",
        "--log-outputs=stderr",
    ]
    log = folder / "etcd.log"
    # etcd 3.4 refuses to start on other machines than x86-64 without ETCD_UNSUPPORTED_ARCH
    foreign = {"aarch64": "arm64", "armv7l": "arm"}.get(platform.machine())
    with child(argv, log, {"ETCD_UNSUPPORTED_ARCH": foreign} if foreign else None) as process:
        _wait("etcd", log, lambda: process.poll() is not None, lambda: _answers(f"{client}/health"))
        yield client


@contextmanager
def _apiserver(folder: Path, etcd: str) -> Iterator[Cluster]:
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    authority = certificates.new_authority("peapod benchmark", datetime.now(UTC))
    ca = folder / "ca.crt"
    ca.write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
    _issue(folder, authority, Request("apiserver", "kube-apiserver", hosts=("127.0.0.1", "localhost")))
    _issue(folder, authority, Request("admin", "kubernetes-admin", "system:masters"))
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f'{token},kubernetes-admin,kubernetes-admin,"system:masters"\n')
    argv = module(
        "apiserver",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        "--advertise-address=127.0.0.1",
        f"--etcd-servers={etcd}",
        f"--tls-cert-file={folder / 'apiserver.crt'}",
        f"--tls-private-key-file={folder / 'apiserver.key'}",
        f"--client-ca-file={ca}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--disable-admission-plugins=ServiceAccount,StorageObjectInUseProtection",  # no controllers here
    )
    log = folder / "apiserver.log"
    with child(argv, log) as process:
        endpoint = Endpoint(url, token, ca, process.pid)
        with httpx.Client(verify=endpoint.context(), trust_env=False) as client:
            # the namespace is the last thing that a new cluster makes by itself
            path = f"{url}/api/v1/namespaces/kube-node-lease"
            headers = {"Authorization": f"Bearer {token}"}
            ended = lambda: process.poll() is not None  # noqa: E731
            _wait("the apiserver", log, ended, lambda: client.get(path, headers=headers).is_success)
        yield Cluster(folder, endpoint, _kubeconfig(folder, url))


def _issue(folder: Path, authority: Authority, request: Request) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = certificates.sign(request, key.public_key(), authority, datetime.now(UTC))
    certificates.write_key(folder / f"{request.file}.key", key)
    (folder / f"{request.file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _kubeconfig(folder: Path, url: str) -> Path:
    ca, certificate, key = ((folder / name).read_bytes() for name in ("ca.crt", "admin.crt", "admin.key"))
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig.document(url, "benchmark", "admin", ca, certificate, key)))
    return path


def _answers(url: str) -> bool:
    return httpx.get(url, trust_env=False).is_success


def _wait(name: str, log: Path, ended: Callable[[], bool], answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY
    while True:
        try:
            if answers():
                return
        except httpx.HTTPError:
            pass
        if ended():
            raise BenchmarkError(f"{name} ended: {_last_lines(log)}")
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{name} does not answer after {READY:g} s: {_last_lines(log)}")
        time.sleep(0.05)


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
