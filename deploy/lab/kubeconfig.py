"""Kubeconfigs: one for the person, one for each daemon that is a client of the apiserver.

Each holds all that it needs inside (authority, certificate, key), so it works from any folder and may be copied.
"""

import base64
import os
from pathlib import Path
from typing import Any

import yaml

from deploy.lab.lab import Lab


def document(server: str, cluster: str, user: str, authority: bytes, certificate: bytes, key: bytes) -> dict[str, Any]:
    """A kubeconfig for one cluster and one user who holds a client certificate (all three in PEM)."""
    context = f"{user}@{cluster}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": _text(authority)}}],
        "users": [
            {
                "name": user,
                "user": {"client-certificate-data": _text(certificate), "client-key-data": _text(key)},
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": user}}],
        "current-context": context,
    }


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def clients(lab: Lab) -> dict[Path, tuple[str, str]]:
    """Every kubeconfig's path, with the user's name and the certificate that proves it."""
    found = {
        lab.kubeconfig: ("kubernetes-admin", "admin"),
        lab.daemon_kubeconfig("kube-scheduler"): ("system:kube-scheduler", "kube-scheduler"),
        lab.daemon_kubeconfig("kube-controller-manager"): (
            "system:kube-controller-manager",
            "kube-controller-manager",
        ),
        lab.daemon_kubeconfig("kube-proxy"): ("system:kube-proxy", "kube-proxy"),
    }
    for node in lab.nodes:
        path = lab.daemon_kubeconfig(f"kubelet-{node}")
        found[path] = (f"system:node:{node}", f"kubelet-client-{node}")
    return found


def ensure(lab: Lab) -> int:
    """Write the kubeconfigs that are missing or hold something else than they should; how many."""
    written = 0
    authority = (lab.pki / "ca.crt").read_bytes()
    for path, (user, file) in clients(lab).items():
        certificate = (lab.pki / f"{file}.crt").read_bytes()
        key = (lab.pki / f"{file}.key").read_bytes()
        wanted = document(lab.server, lab.prefix, user, authority, certificate, key)
        text = yaml.safe_dump(wanted, sort_keys=False)
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = path.with_name(path.name + ".new")
            temporary.unlink(missing_ok=True)
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file_:
                file_.write(text)
            temporary.replace(path)
            written += 1
    return written
