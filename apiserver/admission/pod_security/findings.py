"""What the checks share: whom they look at, and how they say what they saw."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from apimachinery.types.core_v1 import Container, EphemeralContainer, PodSpec, SecurityContext
from apimachinery.types.meta_v1 import ObjectMeta


class Violation(NamedTuple):
    """``reason (detail)``."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


Check = Callable[[ObjectMeta, PodSpec], Violation | None]

AnyContainer = Container | EphemeralContainer


def containers_of(spec: PodSpec) -> Iterator[AnyContainer]:
    """All of the pod's, in the order in which messages name them."""
    yield from spec.init_containers or ()
    yield from spec.containers
    yield from spec.ephemeral_containers or ()


def contexts_of(spec: PodSpec) -> Iterator[tuple[str, SecurityContext]]:
    """The containers that have a security context, by name."""
    for container in containers_of(spec):
        if container.security_context is not None:
            yield container.name, container.security_context


def quoted(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def plural(count: int, singular: str, several: str = "") -> str:
    return singular if count == 1 else several or f"{singular}s"


def named(names: list[str]) -> str:
    """``container "a"`` or ``containers "a", "b"``."""
    return f"{plural(len(names), 'container')} {quoted(names)}"


def setters(pod: bool, names: list[str]) -> str:
    """Who sets something: the pod, some of its containers, or both."""
    return " and ".join([*(["pod"] if pod else []), *([named(names)] if names else [])])


def is_windows(spec: PodSpec) -> bool:
    return spec.os is not None and spec.os.name == "windows"
