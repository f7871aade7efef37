"""Component statuses: a way to ask after the control plane that Kubernetes keeps for old clients. Read only.

Nobody writes these objects: ``component_health`` asks the components when somebody reads them.
"""

from collections.abc import Mapping

from apimachinery.types.core_v1 import ComponentStatus
from apiserver.registry import columns
from apiserver.registry.core.component_health import Check, statuses
from apiserver.registry.strategy import Strategy
from apiserver.registry.unstored import ComputedResource


def _healthy(obj: ComponentStatus) -> str:
    word = next((condition.status for condition in obj.conditions or () if condition.type == "Healthy"), "")
    return {"True": "Healthy", "False": "Unhealthy"}.get(word, "Unknown")


def _said(obj: ComponentStatus, field: str) -> str:
    return next(
        (getattr(condition, field) or "" for condition in obj.conditions or () if condition.type == "Healthy"), ""
    )


def component_statuses(checks: Mapping[str, Check]) -> ComputedResource[ComponentStatus]:
    """The row; ``checks`` are by component."""

    async def read(namespace: str) -> list[ComponentStatus]:
        return await statuses(checks)

    return ComputedResource(
        ComponentStatus,
        Strategy[ComponentStatus](),
        singular="componentstatus",
        short_names=("cs",),
        columns=(
            columns.name(),
            columns.Column("Status", _healthy),
            columns.Column("Message", lambda obj: _said(obj, "message")),
            columns.Column("Error", lambda obj: _said(obj, "error")),
        ),
        verbs=("get", "list"),
        read=read,
    )
