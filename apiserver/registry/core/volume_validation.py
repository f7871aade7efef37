"""What a volume must look like, whatever it comes from: of pods, of templates, and (the sources) of persistent volumes.

Most sources only have fields that must be there; they are a table. The others have a function.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from apimachinery import names, quantity
from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1
from apiserver.registry import field_rules
from apiserver.registry.core.claim_validation import validate_claim
from apiserver.registry.core.environment_validation import FILE_FIELDS, validate_field_ref, validate_resource_ref
from apiserver.registry.field_rules import one_of

HOST_PATH_TYPES: Final = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_MODE: Final = "must be a number between 0 and 0777 (octal), both inclusive"
_BYTE: Final = "must be between 0 and 255, inclusive"
_ONE: Final = "may not specify more than 1 volume type"
_SHORTEST_TOKEN: Final = 600  # s

# which of several sources counts and which are too many: the first of these
_ORDER: Final = (
    "empty_dir", "host_path", "git_repo", "gce_persistent_disk", "aws_elastic_block_store", "secret", "nfs", "iscsi",
    "glusterfs", "flocker", "persistent_volume_claim", "rbd", "cinder", "cephfs", "quobyte", "downward_api", "fc",
    "flex_volume", "config_map", "azure_file", "vsphere_volume", "photon_persistent_disk", "portworx_volume",
    "azure_disk", "storageos", "projected", "scale_io", "csi", "ephemeral", "image",
)  # fmt: skip

# source -> its fields that must not be empty: (attribute, name on the wire)
_NEEDED: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "aws_elastic_block_store": (("volume_id", "volumeID"),),
    "azure_disk": (("disk_name", "diskName"), ("disk_uri", "diskURI")),
    "azure_file": (("secret_name", "secretName"), ("share_name", "shareName")),
    "cephfs": (("monitors", "monitors"),),
    "cinder": (("volume_id", "volumeID"),),
    "config_map": (("name", "name"),),
    "csi": (("driver", "driver"),),
    "ephemeral": (("volume_claim_template", "volumeClaimTemplate"),),
    "flex_volume": (("driver", "driver"),),
    "gce_persistent_disk": (("pd_name", "pdName"),),
    "git_repo": (("repository", "repository"),),
    "glusterfs": (("endpoints", "endpoints"), ("path", "path")),
    "host_path": (("path", "path"),),
    "iscsi": (("target_portal", "targetPortal"), ("iqn", "iqn")),
    "local": (("path", "path"),),
    "nfs": (("server", "server"), ("path", "path")),
    "persistent_volume_claim": (("claim_name", "claimName"),),
    "photon_persistent_disk": (("pd_id", "pdID"),),
    "portworx_volume": (("volume_id", "volumeID"),),
    "quobyte": (("registry", "registry"), ("volume", "volume")),
    "rbd": (("monitors", "monitors"), ("image", "image")),
    "scale_io": (("gateway", "gateway"), ("system", "system"), ("volume_name", "volumeName")),
    "secret": (("secret_name", "secretName"),),
    "storageos": (("volume_name", "volumeName"),),
    "vsphere_volume": (("volume_path", "volumePath"),),
}


def validate_volumes(path: Path, volumes: Iterable[v1.Volume]) -> Iterator[FieldError]:
    """Every fault of a pod's volumes, and of one beside another."""
    earlier: set[str] = set()
    for i, volume in enumerate(volumes):
        if not volume.name:
            yield (path[i] / "name").required()
        else:
            yield from names.check(path[i] / "name", volume.name, names.dns_label)
            if volume.name in earlier:
                yield (path[i] / "name").duplicate(volume.name)
            earlier.add(volume.name)
        sources = [field for field in _ORDER if getattr(volume, field) is not None]
        for extra in sources[1:]:
            yield (path[i] / field_rules.wire_name(v1.Volume, extra)).forbidden(_ONE)
        for source in sources[:1]:
            yield from validate_source(path[i], volume, source)


def validate_source(path: Path, union: v1.Volume | v1.PersistentVolumeSpec, field: str) -> Iterator[FieldError]:
    """The faults of one source; ``union`` is a Volume or a PersistentVolumeSpec that has it in ``field``."""
    source, place = getattr(union, field), path / field_rules.wire_name(type(union), field)
    for attribute, name in _NEEDED.get(field, ()):
        if not getattr(source, attribute, True):
            yield (place / name).required()
    if field in _RULES:
        yield from _RULES[field](place, source)


def _host_path(path: Path, source: v1.HostPathVolumeSource) -> Iterator[FieldError]:
    if ".." in (source.path or "").split("/"):
        yield (path / "path").invalid(source.path, "must not contain '..'")
    if (source.type or "") not in HOST_PATH_TYPES:
        yield (path / "type").not_supported(source.type, HOST_PATH_TYPES)


def _empty_dir(path: Path, source: v1.EmptyDirVolumeSource) -> Iterator[FieldError]:
    medium = source.medium or ""
    if medium not in ("", "Memory") and not medium.startswith("HugePages"):
        yield (path / "medium").not_supported(medium, ("", "Memory", "HugePages"))
    if source.size_limit is not None:
        try:
            is_valid = quantity.parse(source.size_limit) >= 0
        except ValueError:
            is_valid = False
        if not is_valid:
            yield (path / "sizeLimit").forbidden("SizeLimit field must be a valid resource quantity")


def _nfs(path: Path, source: v1.NFSVolumeSource) -> Iterator[FieldError]:
    if source.path and not source.path.startswith("/"):
        yield (path / "path").invalid(source.path, "must be an absolute path")


def _iscsi(path: Path, source: v1.ISCSIVolumeSource) -> Iterator[FieldError]:
    if source.iqn and not source.iqn.startswith(("iqn", "eui", "naa")):
        yield (path / "iqn").invalid(source.iqn, "must be valid format starting with iqn, eui, or naa")
    if not 0 <= (source.lun or 0) <= 255:
        yield (path / "lun").invalid(source.lun, _BYTE)
    if (source.chap_auth_discovery or source.chap_auth_session) and source.secret_ref is None:
        yield (path / "secretRef").required()


def _disk(
    path: Path, source: v1.AWSElasticBlockStoreVolumeSource | v1.GCEPersistentDiskVolumeSource
) -> Iterator[FieldError]:
    if not 0 <= (source.partition or 0) <= 255:
        yield (path / "partition").invalid(source.partition, _BYTE)


def _fc(path: Path, source: v1.FCVolumeSource) -> Iterator[FieldError]:
    if not source.target_wwns and not source.wwids:
        yield (path / "targetWWNs").required("must specify either targetWWNs or wwids, but not both")
    elif source.target_wwns and source.wwids:
        yield (path / "targetWWNs").invalid(
            source.target_wwns, "targetWWNs and wwids can not be specified simultaneously"
        )
    if source.target_wwns and source.lun is None:
        yield (path / "lun").required("lun is required if targetWWNs is specified")
    elif source.lun is not None and not 0 <= source.lun <= 255:
        yield (path / "lun").invalid(source.lun, _BYTE)


def _git_repo(path: Path, source: v1.GitRepoVolumeSource) -> Iterator[FieldError]:
    yield from _local_path(path / "directory", source.directory or "")


def _local(path: Path, source: v1.LocalVolumeSource) -> Iterator[FieldError]:
    if ".." in (source.path or "").split("/"):
        yield (path / "path").invalid(source.path, "must not contain '..'")


def _flocker(path: Path, source: v1.FlockerVolumeSource) -> Iterator[FieldError]:
    if not source.dataset_name and not source.dataset_uuid:
        yield path.required("one of datasetName and datasetUUID is required")
    if "/" in (source.dataset_name or ""):
        yield (path / "datasetName").invalid(source.dataset_name, "must not contain '/'")


def _csi(path: Path, source: v1.CSIVolumeSource | v1.CSIPersistentVolumeSource) -> Iterator[FieldError]:
    if source.driver:
        if len(source.driver) > 63:
            yield (path / "driver").too_long(63)
        yield from names.check(path / "driver", source.driver.lower(), names.dns_subdomain)


def _ephemeral(path: Path, source: v1.EphemeralVolumeSource) -> Iterator[FieldError]:
    if source.volume_claim_template is not None:
        yield from validate_claim(path / "volumeClaimTemplate" / "spec", source.volume_claim_template.spec)


def _image(path: Path, source: v1.ImageVolumeSource) -> Iterator[FieldError]:
    yield from field_rules.one_of(path / "pullPolicy", source.pull_policy, ("Always", "IfNotPresent", "Never"))


# -- files made of the API's own objects

WithItems = v1.SecretVolumeSource | v1.ConfigMapVolumeSource | v1.SecretProjection | v1.ConfigMapProjection


def _items(path: Path, source: WithItems) -> Iterator[FieldError]:
    """A secret or config map, as a volume or as a projection."""
    yield from _mode(path / "defaultMode", getattr(source, "default_mode", None))
    for i, item in enumerate(source.items or ()):
        place = (path / "items")[i]
        if not item.key:
            yield (place / "key").required()
        if not item.path:
            yield (place / "path").required()
        yield from _local_path(place / "path", item.path or "", reserved=True)
        yield from _mode(place / "mode", item.mode)


def _downward(path: Path, source: v1.DownwardAPIVolumeSource | v1.DownwardAPIProjection) -> Iterator[FieldError]:
    yield from _mode(path / "defaultMode", getattr(source, "default_mode", None))
    for i, item in enumerate(source.items or ()):
        place = (path / "items")[i]
        if not item.path:
            yield (place / "path").required()
        yield from _local_path(place / "path", item.path or "", reserved=True)
        if item.field_ref is not None and item.resource_field_ref is not None:
            yield place.invalid("resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
        elif item.field_ref is None and item.resource_field_ref is None:
            yield place.required("one of fieldRef and resourceFieldRef is required")
        elif item.field_ref is not None:
            yield from validate_field_ref(place / "fieldRef", item.field_ref, FILE_FIELDS)
        elif item.resource_field_ref is not None:
            yield from validate_resource_ref(place / "resourceFieldRef", item.resource_field_ref, names_container=True)
        yield from _mode(place / "mode", item.mode)


def _projected(path: Path, source: v1.ProjectedVolumeSource) -> Iterator[FieldError]:
    yield from _mode(path / "defaultMode", source.default_mode)
    for i, projection in enumerate(source.sources or ()):
        place = (path / "sources")[i]
        for extra in field_rules.set_fields(projection)[1:]:
            yield (place / extra).forbidden(_ONE)
        for field, named in (("secret", projection.secret), ("configMap", projection.config_map)):
            if named is not None:
                if not named.name:
                    yield (place / field / "name").required()
                yield from _items(place / field, named)
        if projection.downward_api is not None:
            yield from _downward(place / "downwardAPI", projection.downward_api)
        if projection.service_account_token is not None:
            yield from _token(place / "serviceAccountToken", projection.service_account_token)


def _token(path: Path, token: v1.ServiceAccountTokenProjection) -> Iterator[FieldError]:
    seconds = token.expiration_seconds
    if seconds is not None and seconds < _SHORTEST_TOKEN:
        yield (path / "expirationSeconds").invalid(seconds, "may not specify a duration less than 10 minutes")
    if seconds is not None and seconds > 2**32:
        yield (path / "expirationSeconds").invalid(seconds, "may not specify a duration larger than 2^32 seconds")
    if not token.path:
        yield (path / "path").required()
    else:
        yield from _local_path(path / "path", token.path, reserved=True)


def _mode(path: Path, mode: int | None) -> Iterator[FieldError]:
    if mode is not None and not 0 <= mode <= 0o777:
        yield path.invalid(mode, _MODE)


def _local_path(path: Path, text: str, *, reserved: bool = False) -> Iterator[FieldError]:
    """A path below the volume; names that begin with two dots are the volume's own."""
    if text.startswith("/"):
        yield path.invalid(text, "must be a relative path")
    if ".." in text.split("/"):
        yield path.invalid(text, "must not contain '..'")
    elif reserved and text.startswith(".."):
        yield path.invalid(text, "must not start with '..'")


_RULES: Final[Mapping[str, Callable[[Path, Any], Iterator[FieldError]]]] = {
    "aws_elastic_block_store": _disk,
    "config_map": _items,
    "csi": _csi,
    "downward_api": _downward,
    "empty_dir": _empty_dir,
    "ephemeral": _ephemeral,
    "fc": _fc,
    "flocker": _flocker,
    "gce_persistent_disk": _disk,
    "git_repo": _git_repo,
    "host_path": _host_path,
    "image": _image,
    "iscsi": _iscsi,
    "local": _local,
    "nfs": _nfs,
    "projected": _projected,
    "secret": _items,
}


_PROPAGATIONS: Final = ("Bidirectional", "HostToContainer", "None")


def validate_mounts(path: Path, container: v1.Container, volumes: Collection[str]) -> Iterator[FieldError]:
    places: set[str] = set()
    privileged = bool(container.security_context and container.security_context.privileged)
    for i, mount in enumerate(container.volume_mounts or ()):
        if not mount.name:
            yield (path[i] / "name").required()
        elif mount.name not in volumes:
            yield (path[i] / "name").not_found(mount.name)
        if not mount.mount_path:
            yield (path[i] / "mountPath").required()
        elif mount.mount_path in places:
            yield (path[i] / "mountPath").invalid(mount.mount_path, "must be unique")
        elif any(device.device_path == mount.mount_path for device in container.volume_devices or ()):
            yield (path[i] / "mountPath").invalid(mount.mount_path, "must not already exist as a path in volumeDevices")
        places.add(mount.mount_path)
        for field, part in (("subPath", mount.sub_path), ("subPathExpr", mount.sub_path_expr)):
            if part and (part.startswith("/") or ".." in part.split("/")):
                yield (path[i] / field).invalid(part, "must be a relative path that does not contain '..'")
        if mount.sub_path and mount.sub_path_expr:
            yield (path[i] / "subPathExpr").invalid(
                mount.sub_path_expr, "subPathExpr and subPath are mutually exclusive"
            )
        yield from one_of(path[i] / "mountPropagation", mount.mount_propagation, _PROPAGATIONS)
        if mount.mount_propagation == "Bidirectional" and not privileged:
            yield (path[i] / "mountPropagation").forbidden(
                "Bidirectional mount propagation is available only to privileged containers"
            )
        yield from _recursion(path[i] / "recursiveReadOnly", mount)


def validate_devices(path: Path, container: v1.Container, volumes: Iterable[v1.Volume]) -> Iterator[FieldError]:
    """``volumeDevices``: volumes that a container gets as block devices."""
    by_name = {volume.name: volume for volume in volumes}
    mounted = {mount.name for mount in container.volume_mounts or ()}
    mount_paths = {mount.mount_path for mount in container.volume_mounts or ()}
    names_before, paths_before = set[str](), set[str]()
    for i, device in enumerate(container.volume_devices or ()):
        name_place, path_place = path[i] / "name", path[i] / "devicePath"
        volume = by_name.get(device.name)
        if not device.name:
            yield name_place.required()
        elif volume is None:
            yield name_place.not_found(device.name)
        elif volume.persistent_volume_claim is None and volume.ephemeral is None:
            why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield name_place.invalid(device.name, why)
        if device.name in names_before:
            yield name_place.invalid(device.name, "must be unique")
        if device.name in mounted:
            yield name_place.invalid(device.name, "must not already exist in volumeMounts")
        if not device.device_path:
            yield path_place.required()
        elif device.device_path in paths_before:
            yield path_place.invalid(device.device_path, "must be unique")
        if ".." in device.device_path.split("/"):
            yield path_place.invalid(device.device_path, "can not contain backsteps ('..')")
        if device.device_path and device.device_path in mount_paths:
            yield path_place.invalid(device.device_path, "must not already exist as a path in volumeMounts")
        names_before.add(device.name)
        paths_before.add(device.device_path)


def _recursion(path: Path, mount: v1.VolumeMount) -> Iterator[FieldError]:
    """Whether what is mounted below a mount is read-only, too."""
    wanted = mount.recursive_read_only
    yield from one_of(path, wanted, ("Disabled", "Enabled", "IfPossible"))
    if wanted in ("Enabled", "IfPossible"):
        if not mount.read_only:
            yield path.forbidden("may only be specified when readOnly is true")
        if mount.mount_propagation not in (None, "None"):
            yield path.forbidden("may only be specified when mountPropagation is None or not specified")
