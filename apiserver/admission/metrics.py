"""Metrics of admission, under Kubernetes' names."""

from collections.abc import Awaitable
from time import perf_counter
from typing import Final

from apiserver.request import Attributes
from component_base.metrics import Counter, Histogram

duration: Final = Histogram(
    "apiserver_admission_controller_admission_duration_seconds",
    "Time that one plugin took for one write, by what it was asked to do and whether it refused.",
    ("name", "type", "operation", "rejected"),
    buckets=(0.005, 0.025, 0.1, 0.5, 1.0, 2.5),
)
pod_security_evaluations: Final = Counter(
    "pod_security_evaluations",
    "Pods, and templates of pods, that were held to a level of the standards.",
    ("decision", "policy_level", "policy_version", "mode", "request_operation", "resource", "subresource"),
)
pod_security_exemptions: Final = Counter(
    "pod_security_exemptions",
    "Writes that the configuration exempts from the standards.",
    ("request_operation", "resource", "subresource"),
)
pod_security_errors: Final = Counter(
    "pod_security_errors",
    "Writes in a namespace whose labels cannot be read.",
    ("fatal", "request_operation", "resource", "subresource"),
)

_OPERATIONS: Final = {"create": "CREATE", "delete": "DELETE", "deletecollection": "DELETE"}


def operation(attributes: Attributes) -> str:
    """What admission calls the verb."""
    return _OPERATIONS.get(attributes.verb, "UPDATE")


async def timed(asked: Awaitable[None], name: str, kind: str, attributes: Attributes) -> None:
    """Await a plugin's answer. ``kind`` is ``admit`` or ``validate``; raises what the plugin raises."""
    began, rejected = perf_counter(), "true"
    try:
        await asked
        rejected = "false"
    finally:
        duration.observe(perf_counter() - began, name, kind, operation(attributes), rejected)
