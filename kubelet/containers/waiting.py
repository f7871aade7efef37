"""Why a container does not run yet, in Kubernetes' words."""

from dataclasses import dataclass

CREATING = "ContainerCreating"
"""The reason of one about which there is nothing to say yet."""

RETRY = 10.0
"""Seconds until a container that could not be configured or created is tried again."""


@dataclass(frozen=True)
class Waiting:
    """What its status says while it waits."""

    reason: str
    message: str = ""
    retry_in: float | None = RETRY
    """Seconds until it is tried again; None if something else wakes its pod's worker."""
