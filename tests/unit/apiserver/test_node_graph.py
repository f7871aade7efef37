"""What a node needs by its pods: each sort of reference, and any history of changes against a look at all objects."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import meta
from apimachinery.core import pods, references
from apimachinery.core.well_known import MIRROR_ANNOTATION
from apimachinery.meta import Key
from apimachinery.types import core_v1 as v1
from apimachinery.types.meta_v1 import ObjectMeta
from apimachinery.types.storage_v1 import VolumeAttachment, VolumeAttachmentSpec
from apiserver.authorization.node.graph import ACCOUNTS, CLAIMS, CONFIG_MAPS, SECRETS, Graph

NODES, NAMESPACES, NAMES = ("node-1", "node-2"), ("a", "b"), ("x", "y", "z")


def pod(name: str, namespace: str = "a", node: str = "node-1", uid: str = "1", **spec: object) -> v1.Pod:
    metadata = ObjectMeta(name=name, namespace=namespace, uid=uid)
    return v1.Pod(metadata=metadata, spec=v1.PodSpec(node_name=node or None, **spec))  # type: ignore[arg-type]


def key(obj: v1.Pod | v1.PersistentVolume | VolumeAttachment) -> str:
    return f"/registry/core/kind/{obj.metadata.namespace or '-'}/{obj.metadata.name}"


def environment(**source: object) -> v1.Container:
    variable = v1.EnvVar(name="V", value_from=v1.EnvVarSource(**source))  # type: ignore[arg-type]
    return v1.Container(name="c", env=[variable])


SECRET_REFERENCES: dict[str, v1.PodSpec] = {
    "a volume": v1.PodSpec(volumes=[v1.Volume(name="v", secret=v1.SecretVolumeSource(secret_name="x"))]),
    "a projected volume": v1.PodSpec(
        volumes=[
            v1.Volume(
                name="v",
                projected=v1.ProjectedVolumeSource(sources=[v1.VolumeProjection(secret=v1.SecretProjection(name="x"))]),
            )
        ]
    ),
    "an image's registry": v1.PodSpec(image_pull_secrets=[v1.LocalObjectReference(name="x")]),
    "a variable": v1.PodSpec(containers=[environment(secret_key_ref=v1.SecretKeySelector(name="x", key="k"))]),
    "all variables": v1.PodSpec(
        init_containers=[v1.Container(name="i", env_from=[v1.EnvFromSource(secret_ref=v1.SecretEnvSource(name="x"))])]
    ),
    "an ephemeral container": v1.PodSpec(
        ephemeral_containers=[
            v1.EphemeralContainer(name="e", env_from=[v1.EnvFromSource(secret_ref=v1.SecretEnvSource(name="x"))])
        ]
    ),
    "a CSI volume": v1.PodSpec(
        volumes=[
            v1.Volume(
                name="v",
                csi=v1.CSIVolumeSource(driver="d", node_publish_secret_ref=v1.LocalObjectReference(name="x")),
            )
        ]
    ),
    "an iSCSI volume": v1.PodSpec(
        volumes=[v1.Volume(name="v", iscsi=v1.ISCSIVolumeSource(secret_ref=v1.LocalObjectReference(name="x")))]
    ),
    "an Azure file": v1.PodSpec(volumes=[v1.Volume(name="v", azure_file=v1.AzureFileVolumeSource(secret_name="x"))]),
}


@pytest.mark.parametrize("spec", SECRET_REFERENCES.values(), ids=SECRET_REFERENCES)
def test_a_pod_needs_the_secret_of(spec: v1.PodSpec) -> None:
    graph = Graph()
    spec.node_name = "node-1"
    made = v1.Pod(metadata=ObjectMeta(name="p", namespace="a", uid="1"), spec=spec)
    graph.pods.put(key(made), made)
    assert graph.needs_secret("node-1", "a", "x")
    assert not graph.needs_secret("node-2", "a", "x")
    assert not graph.needs_secret("node-1", "b", "x")
    graph.pods.drop(key(made))
    assert not graph.needs_secret("node-1", "a", "x")


CONFIG_MAP_REFERENCES: dict[str, v1.PodSpec] = {
    "a volume": v1.PodSpec(volumes=[v1.Volume(name="v", config_map=v1.ConfigMapVolumeSource(name="x"))]),
    "a projected volume": v1.PodSpec(
        volumes=[
            v1.Volume(
                name="v",
                projected=v1.ProjectedVolumeSource(
                    sources=[v1.VolumeProjection(config_map=v1.ConfigMapProjection(name="x"))]
                ),
            )
        ]
    ),
    "a variable": v1.PodSpec(containers=[environment(config_map_key_ref=v1.ConfigMapKeySelector(name="x", key="k"))]),
    "all variables": v1.PodSpec(
        containers=[v1.Container(name="c", env_from=[v1.EnvFromSource(config_map_ref=v1.ConfigMapEnvSource(name="x"))])]
    ),
}


@pytest.mark.parametrize("spec", CONFIG_MAP_REFERENCES.values(), ids=CONFIG_MAP_REFERENCES)
def test_a_pod_needs_the_config_map_of(spec: v1.PodSpec) -> None:
    graph = Graph()
    spec.node_name = "node-1"
    made = v1.Pod(metadata=ObjectMeta(name="p", namespace="a", uid="1"), spec=spec)
    graph.pods.put(key(made), made)
    assert graph.pods.needs("node-1", CONFIG_MAPS, "a", "x")
    assert not graph.needs_secret("node-1", "a", "x")


def test_an_ephemeral_volume_has_the_claim_of_the_pods_name() -> None:
    graph, ephemeral = Graph(), v1.Volume(name="v", ephemeral=v1.EphemeralVolumeSource())
    made = pod("p", volumes=[ephemeral])
    graph.pods.put(key(made), made)
    assert graph.pods.needs("node-1", CLAIMS, "a", "p-v")


def test_a_mirror_pod_gives_its_node_nothing_but_itself() -> None:
    graph, made = Graph(), pod("p", service_account_name="x", image_pull_secrets=[v1.LocalObjectReference(name="x")])
    made.metadata.annotations = {MIRROR_ANNOTATION: "1"}
    graph.pods.put(key(made), made)
    assert graph.pods.runs("node-1", "a", "p")
    assert not graph.needs_secret("node-1", "a", "x")
    assert not graph.pods.needs("node-1", ACCOUNTS, "a", "x")


def test_an_ephemeral_container_that_is_added_brings_its_references() -> None:
    graph, made = Graph(), pod("p")
    graph.pods.put(key(made), made)
    added = v1.EphemeralContainer(name="e", env_from=[v1.EnvFromSource(secret_ref=v1.SecretEnvSource(name="x"))])
    changed = pod("p", ephemeral_containers=[added])
    graph.pods.put(key(changed), changed)
    assert graph.needs_secret("node-1", "a", "x")


def test_a_volumes_secret_is_needed_where_its_claim_is() -> None:
    graph, made = Graph(), pod("p", volumes=[claim_volume("x")])
    volume = persistent_volume("y", Key("a", "x"), secret="z")
    assert not graph.needs_volume("node-1", "y")
    graph.volumes.put(key(volume), volume)
    graph.pods.put(key(made), made)
    assert graph.needs_volume("node-1", "y")
    assert graph.needs_secret("node-1", "a", "z")
    released = persistent_volume("y", None, secret="z")
    graph.volumes.put(key(released), released)
    assert not graph.needs_volume("node-1", "y")
    assert not graph.needs_secret("node-1", "a", "z")


def test_a_secret_for_attaching_is_none_of_the_nodes_business() -> None:
    graph, made = Graph(), pod("p", volumes=[claim_volume("x")])
    csi = v1.CSIPersistentVolumeSource(
        driver="d",
        controller_publish_secret_ref=v1.SecretReference(namespace="a", name="attach"),
        node_stage_secret_ref=v1.SecretReference(namespace="b", name="stage"),
    )
    spec = v1.PersistentVolumeSpec(csi=csi, claim_ref=v1.ObjectReference(namespace="a", name="x"))
    volume = v1.PersistentVolume(metadata=ObjectMeta(name="y"), spec=spec)
    graph.pods.put(key(made), made)
    graph.volumes.put(key(volume), volume)
    assert graph.needs_secret("node-1", "b", "stage")
    assert not graph.needs_secret("node-1", "a", "attach")


def claim_volume(name: str) -> v1.Volume:
    return v1.Volume(name=f"v-{name}", persistent_volume_claim=v1.PersistentVolumeClaimVolumeSource(claim_name=name))


def persistent_volume(name: str, claim: Key | None, secret: str = "") -> v1.PersistentVolume:
    reference = v1.ObjectReference(namespace=claim.namespace, name=claim.name) if claim is not None else None
    iscsi = v1.ISCSIPersistentVolumeSource(secret_ref=v1.SecretReference(name=secret)) if secret else None
    spec = v1.PersistentVolumeSpec(claim_ref=reference, iscsi=iscsi)
    return v1.PersistentVolume(metadata=ObjectMeta(name=name), spec=spec)


names = st.sampled_from(NAMES)
keys = st.builds(Key, st.sampled_from(NAMESPACES), names)
some = st.lists(names, max_size=2)


@st.composite
def any_pod(draw: st.DrawFn) -> v1.Pod:
    volumes = [claim_volume(name) for name in draw(some)]
    volumes += [v1.Volume(name="c", config_map=v1.ConfigMapVolumeSource(name=name)) for name in draw(some)]
    where = draw(keys)
    made = pod(
        where.name,
        where.namespace,
        draw(st.sampled_from(("", *NODES))),
        draw(st.sampled_from(("1", "2"))),
        service_account_name=draw(names),
        image_pull_secrets=[v1.LocalObjectReference(name=name) for name in draw(some)],
        volumes=volumes,
    )
    if draw(st.booleans()):
        made.metadata.annotations = {MIRROR_ANNOTATION: "1"}
    return made


volumes = st.builds(persistent_volume, names, st.none() | keys, st.sampled_from(("", *NAMES)))
attachments = st.builds(
    lambda name, node: VolumeAttachment(metadata=ObjectMeta(name=name), spec=VolumeAttachmentSpec(node_name=node)),
    names,
    st.sampled_from(NODES),
)
changes = st.lists(st.tuples(st.sampled_from(("put", "drop")), any_pod() | volumes | attachments), max_size=30)


@given(changes)
def test_after_any_changes_the_answers_are_those_of_a_look_at_all_objects(
    history: list[tuple[str, v1.Pod | v1.PersistentVolume | VolumeAttachment]],
) -> None:
    graph, left = Graph(), dict[tuple[type, str], v1.Pod | v1.PersistentVolume | VolumeAttachment]()
    parts: dict[type, object] = {
        v1.Pod: graph.pods,
        v1.PersistentVolume: graph.volumes,
        VolumeAttachment: graph.attachments,
    }
    for action, obj in history:
        before = left.get((type(obj), key(obj)))
        is_bound = isinstance(before, v1.Pod) and before.spec.node_name
        if action == "put" and is_bound and before is not None and before.metadata.uid == obj.metadata.uid:
            continue  # nothing of a bound pod changes that concerns references
        if action == "put":
            left[type(obj), key(obj)] = obj
            parts[type(obj)].put(key(obj), obj)  # type: ignore[attr-defined]
        else:
            left.pop((type(obj), key(obj)), None)
            parts[type(obj)].drop(key(obj))  # type: ignore[attr-defined]
    for node in NODES:
        for namespace in NAMESPACES:
            for name in NAMES:
                where = Key(namespace, name)
                mine = [p for p in left.values() if isinstance(p, v1.Pod) and p.spec.node_name == node]
                assert graph.pods.runs(node, *where) == any(meta.key_of(p) == where for p in mine)
                real = [p for p in mine if not pods.is_mirror(p)]
                assert graph.pods.needs(node, ACCOUNTS, *where) == names_it(
                    real, where, lambda p: [p.spec.service_account_name or ""]
                )
                assert graph.pods.needs(node, CONFIG_MAPS, *where) == names_it(real, where, references.config_maps_of)
                claims = {claim for p in real for claim in pods.claims_of(p)}
                assert graph.pods.needs(node, CLAIMS, *where) == (where in claims)
                bound = [v for v in left.values() if isinstance(v, v1.PersistentVolume) and claim_of(v) in claims]
                assert graph.needs_volume(node, name) == any(v.metadata.name == name for v in bound)
                assert graph.needs_secret(node, *where) == (
                    names_it(real, where, references.secrets_of)
                    or any(where in references.node_secrets_of(v) for v in bound)
                )
                attachment = left.get((VolumeAttachment, f"/registry/core/kind/-/{name}"))
                assert (graph.attachments.node_of(name) == node) == (
                    isinstance(attachment, VolumeAttachment) and attachment.spec.node_name == node
                )


def names_it(mine: list[v1.Pod], where: Key, of: Callable[[v1.Pod], object]) -> bool:
    return any(meta.namespace_of(p) == where.namespace and where.name in set(of(p)) for p in mine)  # type: ignore[call-overload]


def claim_of(volume: v1.PersistentVolume) -> Key | None:
    claim = volume.spec.claim_ref
    return Key(claim.namespace or "", claim.name or "") if claim is not None else None


def test_a_graph_that_is_left_by_everything_is_empty() -> None:
    graph, made, volume = Graph(), pod("p", volumes=[claim_volume("x")]), persistent_volume("y", Key("a", "x"), "z")
    graph.pods.put(key(made), made)
    graph.volumes.put(key(volume), volume)
    graph.pods.drop(key(made))
    graph.volumes.drop(key(volume))
    kept = [*vars(graph.pods).values(), *vars(graph.volumes).values()]
    assert not any(kept)
    assert not graph.pods.needs("node-1", SECRETS, "a", "x")
