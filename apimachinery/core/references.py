"""Which secrets and config maps pods and persistent volumes name: what a node needs to read to run them.

Facts of Kubernetes' ``VisitPodSecretNames``, ``VisitPodConfigmapNames`` (pkg/api/v1/pod) and ``VisitPVSecretNames``
(pkg/api/v1/persistentvolume). Names may come several times, and the objects need not exist.
"""

from collections.abc import Iterator

from apimachinery.core import containers
from apimachinery.meta import Key
from apimachinery.types.core_v1 import PersistentVolume, Pod, Volume


def secrets_of(pod: Pod) -> Iterator[str]:
    """The secrets of the pod's namespace that it names, in any container or volume or to pull images."""
    yield from (reference.name for reference in pod.spec.image_pull_secrets or () if reference.name)
    for container in containers.all_containers(pod):
        for bulk in container.env_from or ():
            if bulk.secret_ref is not None and bulk.secret_ref.name:
                yield bulk.secret_ref.name
        for variable in container.env or ():
            source = variable.value_from
            if source is not None and source.secret_key_ref is not None and source.secret_key_ref.name:
                yield source.secret_key_ref.name
    for volume in pod.spec.volumes or ():
        yield from filter(None, _secrets_of_volume(volume))


def _secrets_of_volume(volume: Volume) -> Iterator[str | None]:
    if volume.secret is not None:
        yield volume.secret.secret_name
    elif volume.projected is not None:
        yield from (source.secret.name for source in volume.projected.sources or () if source.secret is not None)
    elif volume.azure_file is not None:
        yield volume.azure_file.secret_name
    elif volume.csi is not None:
        yield volume.csi.node_publish_secret_ref.name if volume.csi.node_publish_secret_ref is not None else None
    else:
        for source in (
            volume.cephfs, volume.cinder, volume.flex_volume, volume.iscsi, volume.rbd, volume.scale_io,
            volume.storageos,
        ):  # fmt: skip
            if source is not None and source.secret_ref is not None:
                yield source.secret_ref.name


def config_maps_of(pod: Pod) -> Iterator[str]:
    """The config maps of the pod's namespace that it names, in any container or volume."""
    for container in containers.all_containers(pod):
        for bulk in container.env_from or ():
            if bulk.config_map_ref is not None and bulk.config_map_ref.name:
                yield bulk.config_map_ref.name
        for variable in container.env or ():
            source = variable.value_from
            if source is not None and source.config_map_key_ref is not None and source.config_map_key_ref.name:
                yield source.config_map_key_ref.name
    for volume in pod.spec.volumes or ():
        if volume.config_map is not None and volume.config_map.name:
            yield volume.config_map.name
        for projection in (volume.projected.sources or ()) if volume.projected is not None else ():
            if projection.config_map is not None and projection.config_map.name:
                yield projection.config_map.name


def node_secrets_of(volume: PersistentVolume) -> Iterator[Key]:
    """The secrets that a node needs to mount the volume; without a namespace of their own in that of its claim.

    Those for attaching and expanding by a controller are not among them.
    """
    spec = volume.spec
    default = (spec.claim_ref.namespace or "") if spec.claim_ref is not None else ""
    if spec.azure_file is not None:
        yield from _key(spec.azure_file.secret_namespace or default, spec.azure_file.secret_name)
    elif spec.csi is not None:
        csi = spec.csi
        for reference in (csi.node_publish_secret_ref, csi.node_stage_secret_ref, csi.node_expand_secret_ref):
            if reference is not None:
                yield from _key(reference.namespace or "", reference.name)
    else:
        sources = (spec.cephfs, spec.cinder, spec.flex_volume, spec.iscsi, spec.rbd, spec.scale_io, spec.storageos)
        for source in sources:
            if source is not None and source.secret_ref is not None:
                yield from _key(source.secret_ref.namespace or default, source.secret_ref.name)


def _key(namespace: str, name: str | None) -> Iterator[Key]:
    if namespace and name:
        yield Key(namespace, name)
