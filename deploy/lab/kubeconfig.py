"""Kubeconfigs for the user and for each daemon that is a client of the apiserver, and the same for ``curl``.

Each kubeconfig contains its authority, certificate and key, so it works from any folder and may be copied. For ``curl``
there is a config file (``curl -K``) with the authority and the user's token, and a file with the server's URL.
"""

import base64
import os
from pathlib import Path
from typing import Any

import yaml

from deploy.lab.lab import Lab


def document(server: str, cluster: str, user: str, authority: bytes, certificate: bytes, key: bytes) -> dict[str, Any]:
    """A kubeconfig for one cluster and one user with a client certificate (authority, certificate and key in PEM)."""
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
    """Every kubeconfig's path, with the user's name and the name of its certificate file."""
    users = {
        lab.kubeconfig: ("kubernetes-admin", "admin"),
        lab.daemon_kubeconfig("kube-scheduler"): ("system:kube-scheduler", "kube-scheduler"),
        lab.daemon_kubeconfig("kube-controller-manager"): (
            "system:kube-controller-manager",
            "kube-controller-manager",
        ),
        lab.daemon_kubeconfig("kube-proxy"): ("system:kube-proxy", "kube-proxy"),
        lab.daemon_kubeconfig("kube-dns"): ("system:kube-dns", "kube-dns"),
    }
    for node in lab.nodes:
        path = lab.daemon_kubeconfig(f"kubelet-{node}")
        users[path] = (f"system:node:{node}", f"kubelet-client-{node}")
    return users


def ensure(lab: Lab) -> int:
    """Write the files that are missing or outdated. Returns how many."""
    authority = (lab.pki / "ca.crt").read_bytes()
    texts = {lab.server_file: lab.server + "\n", lab.curlrc: _curlrc(lab)}
    for path, (user, file) in clients(lab).items():
        certificate = (lab.pki / f"{file}.crt").read_bytes()
        key = (lab.pki / f"{file}.key").read_bytes()
        kubeconfig = document(lab.server, lab.prefix, user, authority, certificate, key)
        texts[path] = yaml.safe_dump(kubeconfig, sort_keys=False)
    return sum(_write(path, text) for path, text in texts.items())


def _curlrc(lab: Lab) -> str:
    token = lab.token.read_text().strip()
    return f'cacert = "{lab.pki / "ca.crt"}"\nheader = "Authorization: Bearer {token}"\nsilent\nshow-error\n'


def _write(path: Path, text: str) -> bool:
    """Write a file atomically, readable by its owner only, unless it is up to date. Returns whether it was written."""
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)
    return True
