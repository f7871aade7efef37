"""The table of kinds without columns of their own: name, and time of creation."""

from typing import Final

from apimachinery.types.objects import KubeObject
from apiserver.registry import columns
from apiserver.registry.columns import Column

DEFAULT_COLUMNS: Final[tuple[Column[KubeObject], ...]] = (
    columns.name(),
    Column("Created At", lambda obj: obj.metadata.creation_timestamp or "", type="date"),
)
