"""What Kubernetes fills into the sources of volumes, of pods and of persistent volumes alike."""

from collections.abc import Mapping
from typing import Any, Final

from apimachinery.types import core_v1 as v1

DEFAULT_MODE: Final = 0o644
TOKEN_SECONDS: Final = 3600

# source -> field -> its default; core/v1 TestWorkloadDefaults lists them
_FIXED: Final[Mapping[str, Mapping[str, Any]]] = {
    "azure_disk": {"caching_mode": "ReadWrite", "fs_type": "ext4", "read_only": False, "kind": "Shared"},
    "config_map": {"default_mode": DEFAULT_MODE},
    "downward_api": {"default_mode": DEFAULT_MODE},
    "host_path": {"type": ""},
    "iscsi": {"iscsi_interface": "default"},
    "projected": {"default_mode": DEFAULT_MODE},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "scale_io": {"storage_mode": "ThinProvisioned", "fs_type": "xfs"},
    "secret": {"default_mode": DEFAULT_MODE},
}
_SOURCES: Final = tuple(field for field in v1.Volume.__struct_fields__ if field != "name")


def default_sources(union: Any) -> None:
    """The fixed defaults of whatever sources a Volume or a PersistentVolumeSpec has."""
    for source, defaults in _FIXED.items():
        given = getattr(union, source, None)
        if given is None:
            continue
        for field, value in defaults.items():
            if getattr(given, field) is None:
                setattr(given, field, value)


def default_volume(volume: v1.Volume) -> None:
    """A volume of a pod; one without a source is an empty directory."""
    if all(getattr(volume, source) is None for source in _SOURCES):
        volume.empty_dir = v1.EmptyDirVolumeSource()
        return
    default_sources(volume)
    if volume.downward_api is not None:
        _downward(volume.downward_api.items)
    for projection in (volume.projected.sources or ()) if volume.projected is not None else ():
        token = projection.service_account_token
        if token is not None and token.expiration_seconds is None:
            token.expiration_seconds = TOKEN_SECONDS
        if projection.downward_api is not None:
            _downward(projection.downward_api.items)
    if volume.ephemeral is not None and volume.ephemeral.volume_claim_template is not None:
        claim = volume.ephemeral.volume_claim_template.spec
        claim.volume_mode = claim.volume_mode or "Filesystem"
    if volume.image is not None and not volume.image.pull_policy:
        volume.image.pull_policy = pull_policy(volume.image.reference or "")


def pull_policy(image: str) -> str:
    """An image that may move (tag ``latest``, or neither tag nor digest) is asked for again at each start."""
    name, at, _ = image.rsplit("/", 1)[-1].partition("@")
    tag = name.partition(":")[2]
    return "Always" if tag == "latest" or not (tag or at) else "IfNotPresent"


def _downward(items: list[v1.DownwardAPIVolumeFile] | None) -> None:
    for item in items or ():
        if item.field_ref is not None:
            item.field_ref.api_version = item.field_ref.api_version or "v1"
