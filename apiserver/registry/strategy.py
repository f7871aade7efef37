"""The hooks by which a resource differs from the others. The generic store owns the order of the steps.

Hooks are synchronous and do no I/O. ``obj`` is the request's own object and may be changed in the
``default`` and ``prepare`` hooks; ``old`` is shared with the watch cache and is read only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from apimachinery.fields import FieldError
from apimachinery.names import NameRule, dns_subdomain
from apimachinery.types.objects import KubeObject
from apiserver.registry.status_rules import validate_status

T = TypeVar("T", bound=KubeObject)


@dataclass(frozen=True, slots=True)
class Deletion:
    """How a delete proceeds: at once, or after ``grace_seconds`` during which the object is marked."""

    grace_seconds: int = 0
    graceful: bool = False


class Strategy(Generic[T]):
    """The default of every hook: nothing."""

    name_rule: NameRule = staticmethod(dns_subdomain)
    allow_create_on_update = False
    """Whether a PUT may create an object."""
    allow_unconditional_update = True
    """Whether a PUT without resourceVersion is accepted."""

    def default(self, obj: T) -> None:
        """Fill in what a client omitted."""

    def prepare_for_create(self, obj: T) -> None:
        """Remove what a client may not set."""

    def prepare_for_update(self, obj: T, old: T) -> None:
        """Restore what a client may not change through this path (a status, mostly)."""

    def validate(self, obj: T) -> Iterator[FieldError]:
        """Every fault of the object."""
        yield from ()

    def validate_create(self, obj: T) -> Iterator[FieldError]:
        """Every fault that only a new object can have."""
        yield from ()

    def validate_update(self, obj: T, old: T) -> Iterator[FieldError]:
        """Every fault of the change; faults of the object itself are ``validate``'s."""
        yield from ()

    returns_deleted = False
    """Whether a delete answers with the object instead of a Status."""
    counts_generations = False
    """Whether ``metadata.generation`` counts the changes of the desired state."""

    def desired_state(self, obj: T) -> object:
        """What raises the generation when it changes."""
        return getattr(obj, "spec", None)

    def awaits(self, obj: T) -> bool:
        """Whether something besides ``metadata.finalizers`` delays the removal of a deleted object."""
        return False

    def mark_deleted(self, obj: T) -> None:
        """What else marks an object as being deleted, once its deletionTimestamp is set."""

    def delete(self, obj: T, grace_seconds: int | None) -> Deletion:
        """How a delete of ``obj`` proceeds, with the time that the client asked for."""
        return Deletion()

    def warnings(self, obj: T) -> Iterator[str]:
        """Warnings to the client about an object that is accepted."""
        yield from ()


class PostedStrategy(Strategy[T]):
    """A change that the server derives from what was posted, such as a binding: no desired state has changed."""

    def desired_state(self, obj: T) -> object:
        return None


class StatusStrategy(Strategy[T]):
    """``/status`` of a resource: the roles of spec and status are swapped."""

    def __init__(self, main: Strategy[T]) -> None:
        self._main = main
        self.name_rule = main.name_rule

    def default(self, obj: T) -> None:
        self._main.default(obj)

    def prepare_for_update(self, obj: T, old: T) -> None:
        """Spec and owners change only through the main resource; labels and annotations may change here, too."""
        if hasattr(old, "spec"):
            obj.spec = old.spec  # type: ignore[attr-defined]
        obj.metadata.owner_references = old.metadata.owner_references

    def validate_update(self, obj: T, old: T) -> Iterator[FieldError]:
        if (status := getattr(obj, "status", None)) is not None:
            yield from validate_status(status)

    def desired_state(self, obj: T) -> object:
        return None
