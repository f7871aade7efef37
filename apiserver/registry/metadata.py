"""The rules of ``metadata`` that hold for every kind."""

import re
import secrets
import uuid
from collections.abc import Iterator
from typing import Final

from apimachinery import codec, meta
from apimachinery.fields import FieldError, Path
from apimachinery.names import NameRule, check, dns_label, qualified_name, validate_annotations, validate_labels
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.objects import KubeObject

_METADATA: Final = Path("metadata")
ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"
_NO_OWNERS: Final = (("v1", "Event"), ("events.k8s.io/v1", "Event"))  # they are gone in an hour
_API_VERSION: Final = re.compile(r"([^/]+/)?[^/]+\Z")
_SUFFIX_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes' own: no vowels, so no words
_SUFFIX_LENGTH: Final = 5
_GENERATED_BASE: Final = 63 - _SUFFIX_LENGTH


def generate_name(prefix: str) -> str:
    """A name that begins with ``prefix`` (shortened where needed) and ends in five random characters."""
    suffix = "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(_SUFFIX_LENGTH))
    return prefix[:_GENERATED_BASE] + suffix


def fill_for_create(metadata: ObjectMeta, namespace: str) -> None:
    """Give a new object its identity; what a client may not set is overwritten."""
    if not metadata.name and metadata.generate_name:
        metadata.name = generate_name(metadata.generate_name)
    metadata.namespace = namespace or None
    metadata.uid = str(uuid.uuid4())
    metadata.creation_timestamp = meta.now()
    metadata.deletion_timestamp = None
    metadata.deletion_grace_period_seconds = None
    metadata.resource_version = None
    metadata.self_link = None
    metadata.generation = None
    _drop_empty(metadata)


def _drop_empty(metadata: ObjectMeta) -> None:
    """Go omits empty maps and lists, and a client that compares would see a difference."""
    metadata.labels = metadata.labels or None
    metadata.annotations = metadata.annotations or None
    metadata.finalizers = metadata.finalizers or None
    metadata.owner_references = metadata.owner_references or None


def fill_for_update(new: ObjectMeta, old: ObjectMeta) -> None:
    """Carry over what an update may not change or may omit."""
    new.namespace = old.namespace
    new.uid = new.uid or old.uid
    new.creation_timestamp = old.creation_timestamp
    new.deletion_timestamp = old.deletion_timestamp
    new.deletion_grace_period_seconds = old.deletion_grace_period_seconds
    new.generate_name = new.generate_name or old.generate_name
    new.generation = old.generation
    new.self_link = None
    _drop_empty(new)


def validate(obj: KubeObject, *, namespaced: bool, name_rule: NameRule) -> Iterator[FieldError]:
    metadata = obj.metadata
    if metadata.generate_name:
        # a generated name gets an alphanumeric end, so a prefix may end in a hyphen or dot
        yield from check(_METADATA / "generateName", metadata.generate_name.rstrip("-."), name_rule)
    if not metadata.name:
        yield (_METADATA / "name").required("name or generateName is required")
    else:
        yield from check(_METADATA / "name", metadata.name, name_rule)
    if namespaced:
        yield from _namespace(metadata.namespace)
    elif metadata.namespace:
        yield (_METADATA / "namespace").forbidden("not allowed on this type")
    yield from validate_labels(_METADATA / "labels", metadata.labels)
    yield from validate_annotations(_METADATA / "annotations", metadata.annotations)
    yield from _finalizers(metadata)
    yield from _owners(metadata)


def _namespace(namespace: str | None) -> Iterator[FieldError]:
    if not namespace:
        yield (_METADATA / "namespace").required()
    else:
        yield from check(_METADATA / "namespace", namespace, dns_label)


def _finalizers(metadata: ObjectMeta) -> Iterator[FieldError]:
    path, finalizers = _METADATA / "finalizers", metadata.finalizers or []
    for i, name in enumerate(finalizers):
        yield from finalizer(path[i], name)
    if ORPHAN in finalizers and FOREGROUND in finalizers:
        yield path.invalid(finalizers, f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set")


def finalizer(path: Path, name: str) -> Iterator[FieldError]:
    """A finalizer of an object's metadata or of a namespace's content."""
    yield from check(path, name, qualified_name)
    if "/" not in name and name not in (ORPHAN, FOREGROUND, "kubernetes"):
        yield path.invalid(name, "name is neither a standard finalizer name nor is it fully qualified")


def _owners(metadata: ObjectMeta) -> Iterator[FieldError]:
    controllers = 0
    for i, owner in enumerate(metadata.owner_references or ()):
        path = (_METADATA / "ownerReferences")[i]
        for field, value in (
            ("apiVersion", owner.api_version),
            ("kind", owner.kind),
            ("name", owner.name),
            ("uid", owner.uid),
        ):
            if not value:
                yield (path / field).invalid(value, "must not be empty")
        if (owner.api_version, owner.kind) in _NO_OWNERS:
            yield path.invalid(codec.to_builtins(owner), f"{owner.kind} is disallowed from being an owner")
        if owner.api_version and not _API_VERSION.match(owner.api_version):
            yield (path / "apiVersion").invalid(owner.api_version, "must be a version, or a group and a version")
        controllers += bool(owner.controller)
    if controllers > 1:
        yield (_METADATA / "ownerReferences").invalid(
            controllers, "Only one reference can have Controller set to true. Found several"
        )


def validate_update(new: KubeObject, old: KubeObject) -> Iterator[FieldError]:
    for field, after, before in (
        ("name", new.metadata.name, old.metadata.name),
        ("uid", new.metadata.uid, old.metadata.uid),
    ):
        if after != before:
            yield (_METADATA / field).invalid(after, "field is immutable")
    if old.metadata.deletion_timestamp and (
        added := set(new.metadata.finalizers or ()) - set(old.metadata.finalizers or ())
    ):
        yield (_METADATA / "finalizers").forbidden(
            "no new finalizers can be added if the object is being deleted, found new finalizers: "
            + ", ".join(sorted(added))
        )
