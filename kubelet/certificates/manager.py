"""Renews one certificate: where there is none, when 70 to 90 percent of its life are over, or when its names change.

Whoever uses the certificate reads it from the store's files, and notices by itself that they have changed.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from apimachinery import errors
from component_base.metrics import Counter, Histogram
from kube_client import Client, load_config
from kube_client.config import ConfigError
from kubelet.certificates.request import NotIssued, Template, issued
from kubelet.certificates.store import CertificateStore, Pair, key_to_pem

log = logging.getLogger(__name__)

_LOOK: Final = 5.0
"""Seconds between looks whether the certificate still fits."""
_PATIENCE: Final = 60.0
"""Seconds to wait for an approval before looking whether the request is still the right one."""
_RETRY_FIRST, _RETRY_LONGEST = 2.0, 64.0


class CertificateManager:
    """Start ``run`` in the daemon's task group."""

    def __init__(
        self,
        store: CertificateStore,
        client: Client,
        template: Callable[[], Template | None],
        failures: Counter,
        rotations: Histogram | None = None,
        on_new: Callable[[], Awaitable[None]] | None = None,
        bootstrap_kubeconfig: Path | None = None,
    ) -> None:
        """``template`` says what the certificate must be for; None: that is not known yet.

        ``bootstrap_kubeconfig`` is how to request it while ``client`` has no valid certificate itself.
        """
        self._store, self._client, self._template = store, client, template
        self._failures, self._rotations, self._on_new = failures, rotations, on_new
        self._bootstrap_kubeconfig = bootstrap_kubeconfig
        self.obtained = asyncio.Event()
        """Set once there is a certificate."""
        self._deadline = datetime.max.replace(tzinfo=UTC)
        self._pair: Pair | None = None
        self._use(store.load())

    @property
    def until(self) -> datetime | None:
        """When the certificate expires."""
        return self._pair.until if self._pair is not None else None

    def renew_now(self) -> None:
        """The current certificate is one that others have made: replace it at the first opportunity."""
        self._deadline = datetime.now(UTC)

    async def run(self) -> None:
        delay = _RETRY_FIRST
        while True:
            template, now = self._template(), datetime.now(UTC)
            if template is None or not self.is_due(template, now):
                left = (self._deadline - now).total_seconds()
                await asyncio.sleep(max(0.1, min(_LOOK, left)) if self._pair is not None else 1.0)
                continue
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._renew(template)
                delay = _RETRY_FIRST
            except TimeoutError:
                log.info("%s: the request for a certificate is not approved yet", template.signer)
            except (errors.ApiError, ConfigError, NotIssued, OSError) as exc:
                self._failures.inc()
                log.warning("%s: no new certificate: %s; will retry", template.signer, exc)
                await asyncio.sleep(delay * random.uniform(1.0, 1.5))
                delay = min(_RETRY_LONGEST, 2 * delay)

    def is_due(self, template: Template, now: datetime) -> bool:
        """Whether the certificate must be replaced."""
        return self._pair is None or now >= self._deadline or not template.is_met_by(self._pair.certificate)

    async def _renew(self, template: Template) -> None:
        key = self._store.pending_key()
        if self._pair is not None and key.public_key() == self._pair.certificate.public_key():
            self._store.discard_pending_key()  # each certificate has a key of its own
            key = self._store.pending_key()
        try:
            chain, pair = await self._issued(template, key)
            if pair.until <= datetime.now(UTC) or not template.is_met_by(pair.certificate):
                raise NotIssued("the certificate has expired, or is for something else")
        except NotIssued:
            self._store.discard_pending_key()
            raise
        before = self._pair
        self._use(self._store.update(chain, key_to_pem(key)), datetime.now(UTC))
        log.info("%s: new certificate, valid until %s", template.signer, pair.until)
        if before is not None and self._rotations is not None:
            self._rotations.observe((datetime.now(UTC) - before.since).total_seconds())
        if self._on_new is not None:
            await self._on_new()

    async def _issued(self, template: Template, key: ec.EllipticCurvePrivateKey) -> tuple[bytes, Pair]:
        has_expired = self._pair is None or self._pair.until <= datetime.now(UTC)
        if not has_expired or self._bootstrap_kubeconfig is None:
            return await issued(self._client, template, key)
        async with Client(load_config(self._bootstrap_kubeconfig), user_agent="kubelet") as client:
            return await issued(client, template, key)

    def _use(self, pair: Pair | None, obtained: datetime | None = None) -> None:
        """``obtained`` is when it was signed, if that is known: its own beginning is earlier, for clocks that are behind."""
        self._pair = pair
        if pair is not None:
            since = obtained or pair.since
            self._deadline = since + (pair.until - since) * random.uniform(0.7, 0.9)
            if pair.until > datetime.now(UTC):
                self.obtained.set()
