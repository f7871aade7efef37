"""How volumes and claims say in a table who may use them."""

from collections.abc import Iterable
from typing import Final

ACCESS_MODES: Final = {
    "ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP",
}  # fmt: skip
CLASS_ANNOTATION: Final = "volume.beta.kubernetes.io/storage-class"


def access_text(modes: Iterable[str] | None) -> str:
    """``RWO,ROX``: in this order, whatever the object's."""
    own_modes = set(modes or ())
    return ",".join(short for mode, short in ACCESS_MODES.items() if mode in own_modes)


def class_name(annotations: dict[str, str] | None, name: str | None) -> str:
    """The storage class; the annotation of old manifests takes precedence."""
    return (annotations or {}).get(CLASS_ANNOTATION) or name or ""
