"""Metrics of the kubelet's certificates, under Kubernetes' names."""

import math
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from component_base.metrics import Counter, Gauge, Histogram

_AGES: Final = (60.0, 3600.0, 4 * 3600.0, *(days * 86400.0 for days in (1, 7, 30, 90, 180, 365, 730)))
"""Bounds, in seconds, of how long a certificate was in use."""

CLIENT_FAILURES: Final = Counter(
    "kubelet_certificate_manager_client_expiration_renew_errors", "Failed attempts to renew the client certificate."
)
SERVER_FAILURES: Final = Counter(
    "kubelet_server_expiration_renew_errors", "Failed attempts to renew the serving certificate."
)
SERVER_ROTATIONS: Final = Histogram(
    "kubelet_certificate_manager_server_rotation_seconds",
    "How long a serving certificate was in use before it was replaced, in seconds.",
    buckets=_AGES,
)


def show_life(purpose: str, until: Callable[[], datetime | None]) -> None:
    """Show how many seconds the certificate is still valid, negative if it has expired; infinite without one."""

    def seconds() -> float:
        end = until()
        return end.timestamp() - time.time() if end is not None else math.inf

    Gauge(
        f"kubelet_certificate_manager_{purpose}_ttl_seconds",
        f"Seconds until the {purpose} certificate of the kubelet expires.",
        read=seconds,
    )
