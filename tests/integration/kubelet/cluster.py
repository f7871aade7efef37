"""One node in a network namespace of the test's own: etcd, apiserver, a Docker engine and a kubelet, all real.

The test's thread enters the namespace, so every process that it starts and every connection that it makes stays there.
There is no scheduler and no controller manager: tests give the node its pod CIDR and bind pods themselves.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import docker
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.images.archive import archive
from deploy.images.build import PAUSE, build
from deploy.lab import engine
from deploy.lab.certificates import (
    CLUSTER_CA,
    KUBELET_CA,
    Authority,
    Request,
    new_authority,
    sign,
    write_service_account_keys,
)
from deploy.lab.kubeconfig import document
from tests.processes import Process

NODE = "node-1"
ADDRESS = "100.64.251.1"
NEIGHBOUR = "100.64.251.9"
"""An address on the node's own segment, for another node's routes."""
POD_CIDR, CLUSTER_CIDR, SERVICE_RANGE = "10.249.1.0/24", "10.249.0.0/16", "10.0.0.0/16"
SERVER = "https://127.0.0.1:6443"
_ETCD = "http://127.0.0.1:2379"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def own_namespace(name: str) -> Iterator[None]:
    """This thread in a new network namespace with loopback and one address."""
    path = f"/run/netns/{name}"
    _run("ip", "netns", "add", name)
    try:
        with open("/proc/thread-self/ns/net") as here, open(path) as there:
            _setns(there.fileno())
            try:
                _run("ip", "link", "set", "lo", "up")
                _run("ip", "link", "add", "eth0", "type", "bridge")  # a dummy device is not in every kernel
                _run("ip", "addr", "add", f"{ADDRESS}/24", "dev", "eth0")
                _run("ip", "link", "set", "eth0", "up")
                yield
            finally:
                _setns(here.fileno())
    finally:
        _run("ip", "netns", "delete", name)


class Cluster:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "kubelet"
        self.docker_socket = directory / "docker.sock"
        now = datetime.now(UTC)
        self._authorities = {CLUSTER_CA: new_authority("test", now), KUBELET_CA: new_authority("test kubelets", now)}
        self._certificates()
        self.etcd = self._etcd()
        self.apiserver = self._apiserver()
        self.containerd = self._containerd()
        self.engine = self._engine()
        self.kubelet = self._kubelet()

    def start(self) -> None:
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")
        for process in (self.etcd, self.containerd, self.engine):
            process.spawn()
        self.apiserver.spawn()
        self.await_engine()
        with self.docker() as client:
            for _ in client.load_image(archive(build(self.directory / "cache"))):
                pass
        self.kubelet.spawn()

    def stop(self) -> None:
        self.kubelet.stop()
        with contextlib.suppress(Exception), self.docker() as client:
            for container in client.containers(all=True):
                client.remove_container(container["Id"], force=True, v=True)
        for process in (self.apiserver, self.engine, self.containerd, self.etcd):
            process.stop()
        self.unmount_below(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)

    def unmount_below(self, directory: Path) -> None:
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            point = line.split()[4]
            if point.startswith(f"{directory}/"):
                subprocess.run(["umount", "-l", point], check=False, capture_output=True)

    def await_engine(self) -> None:
        deadline = time.monotonic() + 30
        while not self._engine_answers():
            assert time.monotonic() < deadline, self.engine.log.read_text()[-2000:]
            time.sleep(0.05)  # the fixture runs before any event loop does

    def _engine_answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as asking, contextlib.suppress(OSError):
            asking.settimeout(5)
            asking.connect(str(self.docker_socket))
            asking.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in asking.recv(100)
        return False

    @contextlib.contextmanager
    def docker(self) -> Iterator[docker.APIClient]:
        client = docker.APIClient(f"unix://{self.docker_socket}", version="auto")
        try:
            yield client
        finally:
            client.close()

    def restart_kubelet(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.kubelet.stop(number)
        self.kubelet.spawn()

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "admin.kubeconfig"

    def file(self, name: str) -> Path:
        return self.directory / name

    def _certificates(self) -> None:
        requests = [
            Request("apiserver", "kube-apiserver", hosts=("127.0.0.1", ADDRESS, "localhost")),
            Request("kubelet", f"system:node:{NODE}", "system:nodes", hosts=(ADDRESS, NODE), authority=KUBELET_CA),
            Request("kubelet-client", f"system:node:{NODE}", "system:nodes"),
            Request("apiserver-kubelet-client", "kube-apiserver-kubelet-client"),
            Request("admin", "kubernetes-admin", "system:masters"),
        ]
        for file, authority in self._authorities.items():
            self.file(f"{file}.crt").write_bytes(_pem(authority))
        for request in requests:
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = sign(request, key.public_key(), self._authorities[request.authority], datetime.now(UTC))
            self.file(f"{request.file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
            self.file(f"{request.file}.key").write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        write_service_account_keys(self.file("sa.key"), self.file("sa.pub"))
        for user in ("admin", "kubelet-client"):
            content = document(
                SERVER,
                "test",
                user,
                self.file("ca.crt").read_bytes(),
                self.file(f"{user}.crt").read_bytes(),
                self.file(f"{user}.key").read_bytes(),
            )
            self.file(f"{user}.kubeconfig").write_text(yaml.safe_dump(content))

    def _etcd(self) -> Process:
        peer = "http://127.0.0.1:2380"
        return Process(
            self.file("etcd.log"),
            "etcd",
            f"--data-dir={self.file('etcd')}",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--max-request-bytes=8388608",
        )

    def _apiserver(self) -> Process:
        return Process(
            self.file("apiserver.log"),
            sys.executable,
            "-m",
            "apiserver",
            f"--etcd-servers={_ETCD}",
            f"--advertise-address={ADDRESS}",
            f"--tls-cert-file={self.file('apiserver.crt')}",
            f"--tls-private-key-file={self.file('apiserver.key')}",
            f"--client-ca-file={self.file('ca.crt')}",
            f"--kubelet-client-certificate={self.file('apiserver-kubelet-client.crt')}",
            f"--kubelet-client-key={self.file('apiserver-kubelet-client.key')}",
            f"--kubelet-certificate-authority={self.file('kubelet-ca.crt')}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            f"--service-account-signing-key-file={self.file('sa.key')}",
            f"--service-account-key-file={self.file('sa.pub')}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--disable-admission-plugins=ServiceAccount,StorageObjectInUseProtection",
        )

    def _containerd(self) -> Process:
        """Apart from the engine, as on most machines: it outlives an engine that is killed."""
        settings = self.file("containerd.toml")
        settings.write_text(
            f"""\
version = 2
root = "{self.file("containerd")}"
state = "{self.file("containerd-state")}"
oom_score = 0
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{self.file("containerd.sock")}"
"""
        )
        return Process(self.file("containerd.log"), "containerd", f"--config={settings}")

    def _engine(self) -> Process:
        settings = self.file("daemon.json")
        settings.write_text(json.dumps(engine.oom_score_settings()))  # the machine's own file is not read
        return Process(
            self.file("dockerd.log"),
            "dockerd",
            f"--config-file={settings}",
            f"--data-root={self.file('docker')}",
            f"--exec-root={self.file('docker-exec')}",
            f"--containerd={self.file('containerd.sock')}",
            f"--host=unix://{self.docker_socket}",
            f"--pidfile={self.file('docker.pid')}",
            "--bridge=none",
            "--live-restore",
        )

    def _kubelet(self) -> Process:
        return Process(
            self.file("kubelet.log"),
            sys.executable,
            "-m",
            "kubelet",
            f"--kubeconfig={self.file('kubelet-client.kubeconfig')}",
            f"--hostname-override={NODE}",
            f"--node-ip={ADDRESS}",
            f"--root-dir={self.root}",
            f"--docker-endpoint=unix://{self.docker_socket}",
            f"--pod-infra-container-image={PAUSE}",
            f"--tls-cert-file={self.file('kubelet.crt')}",
            f"--tls-private-key-file={self.file('kubelet.key')}",
            f"--client-ca-file={self.file('ca.crt')}",
            f"--cluster-cidr={CLUSTER_CIDR}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--cluster-dns=10.0.0.10",
            "--v=4",
        )


def healthz(path: str = "/healthz") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:10248{path}", timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def iptables(*arguments: str) -> str:
    return _run("iptables", *arguments)


def ip(*arguments: str) -> str:
    return _run("ip", *arguments)


def name_of_namespace() -> str:
    return f"kubelet-test-{os.getpid()}"


def _pem(authority: Authority) -> bytes:
    return authority.certificate.public_bytes(serialization.Encoding.PEM)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
