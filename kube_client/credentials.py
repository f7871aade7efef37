"""What a configuration refers to, read from its files at one moment: certificates, keys and tokens that others renew."""

import logging
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from apimachinery.core.certificates import Validity, validity
from kube_client import metrics
from kube_client.config import Config, ConfigError, Version, version_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Credentials:
    config: Config
    context: ssl.SSLContext | None
    """None where the server is reached without TLS."""
    token: str
    certificates: Mapping[Path, Validity]
    """How long those of client and authority are valid, by the file that holds them."""
    versions: tuple[Version, ...] = field(repr=False)

    @classmethod
    def read(cls, config: Config) -> Self:
        """Raises ConfigError if a file cannot be used."""
        versions = _versions(config)  # before the files: what changes meanwhile is read again
        context = config.ssl_context() if config.server.startswith("https:") else None
        try:
            token = config.token.read().decode().strip() if config.token else ""
        except (OSError, ValueError) as exc:
            raise ConfigError(f"{config.server}: cannot read the token: {exc}") from exc
        certificates = dict(_certificates(config))
        for file, valid in certificates.items():
            metrics.CERTIFICATE_EXPIRATION.labels(str(file)).set(valid.until.timestamp())
        return cls(config, context, token, certificates, versions)

    def renewed(self) -> Self | None:
        """Those of now, if a file has changed; what cannot be loaded may be half written, and is tried again later."""
        if _versions(self.config) == self.versions:
            return None
        try:
            return type(self).read(self.config.reload())
        except ConfigError as exc:
            log.info("credentials changed but cannot be loaded: %s; will retry", exc)
            return None

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"} if self.token else {}


def _versions(config: Config) -> tuple[Version, ...]:
    materials = (config.ca, config.client_certificate, config.client_key, config.token)
    return (version_of(config.origin), *(material.version if material else None for material in materials))


def _certificates(config: Config) -> Iterator[tuple[Path, Validity]]:
    for material in filter(None, (config.ca, config.client_certificate)):
        if (file := material.path or config.origin) is not None:
            with suppress(OSError, ValueError):  # OpenSSL takes what cryptography does not
                yield file, validity(material.read())
