"""Volume attachments: which volume is at which node."""

from collections.abc import Iterator

from apimachinery import codec, names
from apimachinery.fields import FieldError, Path
from apimachinery.types.storage_v1 import VolumeAttachment, VolumeAttachmentStatus
from apiserver.registry import columns, field_rules
from apiserver.registry.columns import Column
from apiserver.registry.store import StoredResource
from apiserver.registry.strategy import StatusStrategy, Strategy
from apiserver.registry.subresources import ObjectSubresource
from apiserver.registry.workloads import SPEC


class VolumeAttachmentKind(Strategy[VolumeAttachment]):
    def prepare_for_create(self, obj: VolumeAttachment) -> None:
        obj.status = VolumeAttachmentStatus()

    def prepare_for_update(self, obj: VolumeAttachment, old: VolumeAttachment) -> None:
        obj.status = old.status

    def validate(self, obj: VolumeAttachment) -> Iterator[FieldError]:
        if not obj.spec.attacher:
            yield (SPEC / "attacher").required()
        else:
            yield from names.check(SPEC / "attacher", obj.spec.attacher.lower(), names.dns_subdomain)
        if not obj.spec.node_name:
            yield (SPEC / "nodeName").required()
        else:
            yield from names.check(SPEC / "nodeName", obj.spec.node_name, names.dns_subdomain)
        sources = field_rules.set_fields(obj.spec.source)
        if not sources:
            yield (SPEC / "source").required("must specify exactly one of inlineVolumeSpec and persistentVolumeName")
        elif len(sources) > 1:
            yield (SPEC / "source").forbidden("must specify exactly one of inlineVolumeSpec and persistentVolumeName")
        elif obj.spec.source.persistent_volume_name == "":
            yield (SPEC / "source" / "persistentVolumeName").required("must specify non empty persistentVolumeName")

    def validate_update(self, obj: VolumeAttachment, old: VolumeAttachment) -> Iterator[FieldError]:
        if obj.spec != old.spec:
            yield Path("spec").invalid(codec.to_builtins(obj.spec), "field is immutable")


_KIND = VolumeAttachmentKind()

VOLUME_ATTACHMENTS = StoredResource(
    VolumeAttachment,
    _KIND,
    singular="volumeattachment",
    columns=(
        columns.name(),
        Column("Attacher", lambda obj: obj.spec.attacher, format="name"),
        Column("PV", lambda obj: obj.spec.source.persistent_volume_name or ""),
        Column("Node", lambda obj: obj.spec.node_name),
        Column("Attached", lambda obj: obj.status.attached, type="boolean"),
        columns.age(),
    ),
    subresources={"status": ObjectSubresource(StatusStrategy[VolumeAttachment](_KIND))},
)
