"""Where a certificate of the kubelet is kept, under the names that Kubernetes' kubelet gives its files.

``<name>-current.pem`` is a link to the file with the current certificate and its key. ``<name>.key.tmp`` is the key of a
certificate that is being requested. All are readable by their owner alone.
"""

import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from component_base import files

log = logging.getLogger(__name__)

_PRIVATE_KEY: Final = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)
_KEPT: Final = 2
"""How many certificates stay: the current one and its predecessor."""


@dataclass(frozen=True)
class Pair:
    certificate: x509.Certificate
    key: bytes
    """In PEM."""

    @property
    def since(self) -> datetime:
        return self.certificate.not_valid_before_utc

    @property
    def until(self) -> datetime:
        return self.certificate.not_valid_after_utc


class CertificateStore:
    def __init__(self, directory: Path, name: str) -> None:
        """``name`` is ``kubelet-client`` or ``kubelet-server``. Raises OSError if the directory cannot be made."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory, self._name = directory, name
        self.current = directory / f"{name}-current.pem"
        self._pending = directory / f"{name}.key.tmp"

    def load(self) -> Pair | None:
        """The current certificate; None if there is none that can be read."""
        try:
            return read_pair(self.current.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            log.warning("%s: not used: %s", self.current, exc)
            return None

    def pending_key(self) -> ec.EllipticCurvePrivateKey:
        """The key for the next certificate: that of a request that was made before, or a new one."""
        with suppress(FileNotFoundError, ValueError, TypeError):
            key = serialization.load_pem_private_key(self._pending.read_bytes(), password=None)
            if isinstance(key, ec.EllipticCurvePrivateKey):
                return key
        key = ec.generate_private_key(ec.SECP256R1())
        files.replace(self._pending, key_to_pem(key))
        return key

    def discard_pending_key(self) -> None:
        self._pending.unlink(missing_ok=True)

    def update(self, certificate: bytes, key: bytes) -> Pair:
        """Make these the current ones, in PEM. The pending key is used up with that."""
        pair = read_pair(certificate + key)
        target = self._directory / f"{self._name}-{datetime.now(UTC):%Y-%m-%d-%H-%M-%S-%f}.pem"
        files.replace(target, certificate + key)
        self.discard_pending_key()  # before the link: should we end here, the next request has a new key
        files.replace_link(self.current, target.name, self._directory / f"{self._name}-updated.pem")
        self._remove_old()
        return pair

    def _remove_old(self) -> None:
        dated = sorted(self._directory.glob(f"{self._name}-[0-9]*.pem"))
        for file in dated[:-_KEPT]:
            file.unlink(missing_ok=True)


def read_pair(pem: bytes) -> Pair:
    """Certificate and key in one text.

    Raises:
        ValueError: one is missing, or they do not belong together.
    """
    certificate = x509.load_pem_x509_certificate(pem)
    block = _PRIVATE_KEY.search(pem)
    if block is None:
        raise ValueError("there is no key")
    try:
        key = serialization.load_pem_private_key(block[0], password=None)
    except TypeError as exc:
        raise ValueError("the key has a password") from exc
    if key.public_key() != certificate.public_key():
        raise ValueError("the key is not that of the certificate")
    return Pair(certificate, block[0])


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
