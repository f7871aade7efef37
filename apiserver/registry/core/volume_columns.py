"""Access modes of volumes and claims in a table."""

from collections.abc import Iterable
from typing import Final

ACCESS_MODES: Final = {
    "ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP",
}  # fmt: skip


def access_text(modes: Iterable[str] | None) -> str:
    """``RWO,ROX``: in this order, whatever the object's."""
    own_modes = set(modes or ())
    return ",".join(short for mode, short in ACCESS_MODES.items() if mode in own_modes)
