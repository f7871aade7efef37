"""The table of kinds that have nothing to say of themselves: name, and when they were made."""

from typing import Any, Final

from apiserver.registry import columns
from apiserver.registry.columns import Column

DEFAULT_COLUMNS: Final[tuple[Column[Any], ...]] = (
    columns.name(),
    Column("Created At", lambda obj: obj.metadata.creation_timestamp or "", type="date"),
)
