"""Where a container mounts its pod's volumes, and what may pass between its mounts and the node's."""

from collections.abc import Collection, Iterator
from typing import Final

from apimachinery.fields import FieldError, Path
from apimachinery.types import core_v1 as v1
from apiserver.registry.field_rules import one_of

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
