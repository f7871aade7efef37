"""The lab's etcd: Debian's server, one member, used only by the apiserver.

It serves clients only on the master's loopback, and only those with a certificate of etcd's own authority; health and
metrics have a port of their own there, without TLS.
"""

import platform

from deploy.lab import probes
from deploy.lab.execute import program
from deploy.lab.lab import MASTER, Lab
from deploy.lab.processes import Daemon

CLIENT = "https://127.0.0.1:2379"
_PEER = "https://127.0.0.1:2380"
_METRICS = "http://127.0.0.1:2381"
_MAX_REQUEST = 8 * 1024 * 1024
"""Bytes; more than the apiserver's limit for a body, in any encoding."""
_QUOTA = 4 * 1024 * 1024 * 1024
"""Bytes; twice etcd's default."""


def client_flags(lab: Lab) -> tuple[str, ...]:
    """How the apiserver, and the tools that work on its etcd, reach it."""
    return (
        f"--etcd-servers={CLIENT}",
        f"--etcd-cafile={lab.pki / 'etcd-ca.crt'}",
        f"--etcd-certfile={lab.pki / 'apiserver-etcd-client.crt'}",
        f"--etcd-keyfile={lab.pki / 'apiserver-etcd-client.key'}",
    )


def daemon(lab: Lab) -> Daemon:
    authority, certificate, key = (lab.pki / name for name in ("etcd-ca.crt", "etcd.crt", "etcd.key"))
    argv = (
        program("etcd"),
        "--name=master",
        f"--data-dir={lab.state / 'etcd'}",
        f"--listen-client-urls={CLIENT}",
        f"--advertise-client-urls={CLIENT}",
        f"--listen-peer-urls={_PEER}",
        f"--initial-advertise-peer-urls={_PEER}",
        f"--initial-cluster=master={_PEER}",
        "--client-cert-auth=true",
        f"--trusted-ca-file={authority}",
        f"--cert-file={certificate}",
        f"--key-file={key}",
        "--peer-client-cert-auth=true",
        f"--peer-trusted-ca-file={authority}",
        f"--peer-cert-file={certificate}",
        f"--peer-key-file={key}",
        f"--listen-metrics-urls={_METRICS}",
        f"--max-request-bytes={_MAX_REQUEST}",
        f"--quota-backend-bytes={_QUOTA}",
        "--logger=zap",
        "--log-outputs=stderr",
    )
    # On machines other than x86-64 etcd 3.4 starts only with this variable.
    foreign = {"aarch64": "arm64", "armv7l": "arm"}.get(platform.machine())
    return Daemon(
        node=MASTER,
        name="etcd",
        namespace=lab.namespace(MASTER),
        argv=argv,
        healthy=probes.http_in(lab.namespace(MASTER), f"{_METRICS}/health"),
        ports=(2379, 2380, 2381),
        inputs=(authority, certificate),
        environment={"ETCD_UNSUPPORTED_ARCH": foreign} if foreign else {},
    )
