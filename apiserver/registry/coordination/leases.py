"""Leases: who holds a role, and until when; the heartbeats of nodes."""

from collections.abc import Iterator

from apimachinery.fields import FieldError, Path
from apimachinery.types.coordination_v1 import Lease
from apiserver.registry import columns
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import Strategy


class LeaseStrategy(Strategy[Lease]):
    allow_unconditional_update = False
    allow_create_on_update = True

    def validate(self, obj: Lease) -> Iterator[FieldError]:
        seconds, transitions = obj.spec.lease_duration_seconds, obj.spec.lease_transitions
        if seconds is not None and seconds <= 0:
            yield Path("spec", "leaseDurationSeconds").invalid(seconds, "must be greater than 0")
        if transitions is not None and transitions < 0:
            yield Path("spec", "leaseTransitions").invalid(transitions, "must be greater than or equal to 0")


LEASES = StoredResource(
    Lease,
    LeaseStrategy(),
    singular="lease",
    columns=(columns.name(), columns.Column("Holder", lambda obj: obj.spec.holder_identity or ""), columns.age()),
)
