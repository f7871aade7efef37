"""Where the apiserver is and who we are to it: a kubeconfig's context, or a pod's service account.

Owns reading those files; promises a ``ConfigError`` that names the file and what is wrong in it. Inline
certificates stay in memory until ``ssl_context`` needs them in a file while it loads them.
"""

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ConfigError(ValueError):
    """A kubeconfig that cannot be used; the message names the file."""


Version = tuple[int, int] | None
"""Changes when a file does; None for one that is not there."""


def version_of(path: Path | None) -> Version:
    try:
        stat = path.stat() if path else None
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_ino) if stat else None


@dataclass(frozen=True)
class Material:
    """A certificate, key or token: a file that may be replaced while we run, or the bytes themselves."""

    path: Path | None = None
    data: bytes | None = None

    def read(self) -> bytes:
        """Raises OSError if the file cannot be read."""
        return self.data if self.data is not None else self.path.read_bytes() if self.path else b""

    @property
    def version(self) -> Version:
        """None for bytes."""
        return version_of(self.path)

    @contextmanager
    def as_file(self) -> Iterator[str]:
        """The path of a file with the contents; OpenSSL loads keys from files alone."""
        if self.data is None:
            yield str(self.path)
            return
        with tempfile.NamedTemporaryFile() as file:  # readable by its owner alone
            file.write(self.data)
            file.flush()
            yield file.name


@dataclass(frozen=True)
class Config:
    """How to reach one apiserver as one user."""

    server: str
    ca: Material | None = None
    client_certificate: Material | None = None
    client_key: Material | None = None
    token: Material | None = None
    namespace: str = "default"
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None
    origin: Path | None = field(default=None, compare=False)
    """The kubeconfig that says all this, which may be replaced while we run."""
    context: str | None = field(default=None, compare=False)
    """Which of its contexts; None for the current one."""

    def reload(self) -> "Config":
        """What the kubeconfig says now. Raises ConfigError if it cannot be used."""
        return kubeconfig(self.origin, self.context) if self.origin else self

    def ssl_context(self) -> ssl.SSLContext:
        """Raises ConfigError if a certificate or key cannot be loaded."""
        try:
            context = ssl.create_default_context(cadata=self.ca.read().decode() if self.ca else None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.insecure_skip_tls_verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self.load_client_certificate(context)
        except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
            raise ConfigError(f"{self.server}: cannot load certificates: {exc}") from exc
        return context

    def load_client_certificate(self, context: ssl.SSLContext) -> None:
        """Load the current client certificate into a context; connections made later present it."""
        if self.client_certificate and self.client_key:
            with self.client_certificate.as_file() as certificate, self.client_key.as_file() as key:
                context.load_cert_chain(certificate, key)


def check_kubeconfig(path: Path | None, flag: str = "--kubeconfig") -> None:
    """For a daemon's options: raises ValueError, naming the flag, if ``Client`` could not use the file."""
    try:
        config = load_config(path)
        if config.server.startswith("https:"):
            config.ssl_context()
        if config.token is not None:
            config.token.read()
    except (ConfigError, OSError) as exc:
        raise ValueError(f"{flag}: {' '.join(str(exc).split())}") from exc


def load_config(path: str | os.PathLike[str] | None = None, context: str | None = None) -> Config:
    """The configuration in a kubeconfig, or without a path that of the pod we run in.

    Raises:
        ConfigError: the file is missing or malformed, or refers to something that does not exist.
    """
    return in_cluster() if path is None else kubeconfig(Path(path), context)


def in_cluster() -> Config:
    """The pod's own service account."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ConfigError("not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    token = _SERVICE_ACCOUNT / "token"
    if not token.exists():
        raise ConfigError(f"{token}: no such file")
    namespace = _SERVICE_ACCOUNT / "namespace"
    return Config(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca=Material(path=_SERVICE_ACCOUNT / "ca.crt"),
        token=Material(path=token),
        namespace=namespace.read_text().strip() if namespace.exists() else "default",
    )


def kubeconfig(path: Path, context: str | None = None) -> Config:
    """One context of a kubeconfig file; ``current-context`` unless another is asked for."""
    try:
        document = yaml.safe_load(path.read_bytes())
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise ConfigError(f"{path}: not YAML") from exc
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: not a kubeconfig")
    try:
        return replace(_config(_File(path, document), context), origin=path, context=context)
    except (TypeError, AttributeError) as exc:  # a value of another type than kubeconfigs have there
        raise ConfigError(f"{path}: not a kubeconfig: {exc}") from exc


def _config(file: "_File", context: str | None) -> Config:
    path, document = file.path, file.document
    entry = file.named("contexts", "context", context or document.get("current-context") or "")
    cluster = file.named("clusters", "cluster", entry.get("cluster") or "")
    user = file.named("users", "user", entry["user"]) if entry.get("user") else {}
    for unsupported in ("exec", "auth-provider", "username"):
        if unsupported in user:
            raise ConfigError(f"{path}: user {entry['user']!r}: {unsupported!r} is not supported")
    if not cluster.get("server"):
        raise ConfigError(f"{path}: cluster {entry.get('cluster')!r} has no server")
    if not _is_server(str(cluster["server"])):
        raise ConfigError(f"{path}: server {cluster['server']!r} must be an http or https URL")
    if bool(file.material(user, "client-certificate")) != bool(file.material(user, "client-key")):
        raise ConfigError(f"{path}: user {entry['user']!r}: client-certificate and client-key go together")
    return Config(
        server=str(cluster["server"]).rstrip("/"),
        ca=file.material(cluster, "certificate-authority"),
        client_certificate=file.material(user, "client-certificate"),
        client_key=file.material(user, "client-key"),
        token=_token(file, user),
        namespace=entry.get("namespace") or "default",
        insecure_skip_tls_verify=bool(cluster.get("insecure-skip-tls-verify")),
        tls_server_name=cluster.get("tls-server-name"),
    )


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        return False


def _token(file: "_File", user: dict[str, Any]) -> Material | None:
    if user.get("tokenFile"):
        return Material(path=file.relative(user["tokenFile"]))
    return Material(data=str(user["token"]).encode()) if user.get("token") else None


@dataclass(frozen=True)
class _File:
    path: Path
    document: dict[str, Any]

    def named(self, section: str, kind: str, name: str) -> dict[str, Any]:
        for entry in self.document.get(section) or []:
            if isinstance(entry, dict) and entry.get("name") == name:
                content = entry.get(kind)
                return content if isinstance(content, dict) else {}
        raise ConfigError(f"{self.path}: no {kind} named {name!r}")

    def material(self, entry: dict[str, Any], key: str) -> Material | None:
        """``<key>-data`` (base64) or ``<key>`` (a path beside the kubeconfig)."""
        if data := entry.get(f"{key}-data"):
            try:
                return Material(data=base64.b64decode(data, validate=True))
            except (binascii.Error, TypeError, ValueError) as exc:
                raise ConfigError(f"{self.path}: {key}-data: {exc}") from exc
        return Material(path=self.relative(entry[key])) if entry.get(key) else None

    def relative(self, name: str) -> Path:
        return self.path.parent / name
