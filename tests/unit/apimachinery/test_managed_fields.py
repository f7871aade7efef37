"""Ownership of fields through creations, updates, status writes and server-side apply."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, example, given, settings

from apimachinery import codec, managed_fields
from apimachinery.errors import BadRequest, Conflict
from apimachinery.managed_fields.field_set import difference, intersection, paths, union
from apimachinery.managed_fields.walk import blank, element_key, everything, is_leaf
from apimachinery.patch.order import merged_order
from apimachinery.schema.shapes import Shape, shape_of
from apimachinery.types.meta_v1 import ManagedFieldsEntry
from tests.unit.apimachinery.examples import POD, SERVICE, documents, pod, service

Entries = list[ManagedFieldsEntry]


def track(live: Any, new: Any, manager: str = "m", *, time: str = "t1", definition: str = POD, **more: Any) -> Entries:
    return managed_fields.track_update(live, new, manager, definition=definition, api_version="v1", time=time, **more)


def apply(live: Any, config: Any, manager: str = "a", *, time: str = "t1", definition: str = POD, **more: Any) -> Any:
    return managed_fields.apply(live, config, manager, definition=definition, api_version="v1", time=time, **more)


def owned(entries: Entries) -> dict[str, set[str]]:
    """The paths that each manager owns."""
    owners: dict[str, set[str]] = {}
    for entry in entries:
        owners.setdefault(entry.manager or "", set()).update(paths(msgspec.json.decode(entry.fields_v1)))
    return owners


def stored(document: dict[str, Any], entries: Entries) -> dict[str, Any]:
    result = copy.deepcopy(document)
    result["metadata"]["managedFields"] = codec.to_builtins(entries)
    return result


def created(manager: str = "creator") -> dict[str, Any]:
    return stored(pod(), track(None, pod(), manager, time="t0", reset=("status",)))


def simple(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def test_a_creation_is_written_as_kubernetes_writes_it() -> None:
    """The fields of ``kubectl run nginx --image=nginx`` in a real cluster's answer."""
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "nginx", "namespace": "default", "uid": "u", "labels": {"run": "nginx"}},
        "spec": {
            "containers": [{"name": "nginx", "image": "nginx", "imagePullPolicy": "Always", "resources": {}}],
            "dnsPolicy": "ClusterFirst",
            "securityContext": {},
        },
        "status": {"phase": "Pending"},
    }
    [entry] = track(None, document, "kubectl-run", reset=("status",))
    assert (entry.manager, entry.operation, entry.api_version, entry.time) == ("kubectl-run", "Update", "v1", "t1")
    assert (entry.fields_type, entry.subresource) == ("FieldsV1", None)
    assert bytes(entry.fields_v1).decode() == (
        '{"f:metadata":{"f:labels":{".":{},"f:run":{}}},'
        '"f:spec":{"f:containers":{"k:{\\"name\\":\\"nginx\\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},'
        '"f:name":{},"f:resources":{}}},"f:dnsPolicy":{},"f:securityContext":{}}}'
    )


def test_a_changed_field_changes_hands_and_the_rest_stays() -> None:
    live = created()
    new = copy.deepcopy(live)
    new["spec"]["containers"][0]["image"] = "other"
    entries = track(live, new, "editor")
    image = '.spec.containers[name="web"].image'
    assert owned(entries)["editor"] == {image}
    assert image not in owned(entries)["creator"]
    assert {entry.manager: entry.time for entry in entries} == {"creator": "t0", "editor": "t1"}


def test_a_removed_field_has_no_owner() -> None:
    live = created()
    new = copy.deepcopy(live)
    del new["metadata"]["labels"]["tier"], new["spec"]["containers"][1]
    entries = track(live, new, "editor")
    assert set(owned(entries)) == {"creator"}
    lost = {path for path in owned(entries)["creator"] if "tier" in path or "sidecar" in path}
    assert lost == set()


def test_writing_what_is_there_changes_nothing() -> None:
    live = created()
    assert stored(live, track(live, copy.deepcopy(live), "editor")) == live


def test_a_status_write_has_an_entry_of_its_own() -> None:
    live = created("kubelet")
    new = copy.deepcopy(live)
    new["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    entries = track(live, new, "kubelet", subresource="status", reset=("spec",))
    assert [entry.subresource for entry in entries] == [None, "status"]
    assert set(paths(msgspec.json.decode(entries[1].fields_v1))) == {
        ".status.phase",
        ".status.conditions",
        '.status.conditions[type="Ready"]',
        '.status.conditions[type="Ready"].type',
        '.status.conditions[type="Ready"].status',
    }


def test_a_request_without_entries_keeps_the_live_ones() -> None:
    live = created()
    assert [entry.manager for entry in track(live, pod(), "editor")] == ["creator"]


@pytest.mark.parametrize(
    ("sent", "managers"),
    [([{}], set()), ([], {"creator"}), ([{"nonsense": 1}], {"creator"}), ([{"operation": "Update"}], {"creator"})],
)
def test_only_one_empty_entry_resets_ownership(sent: Any, managers: set[str]) -> None:
    live = created()
    new = copy.deepcopy(live)
    new["metadata"]["managedFields"] = sent
    assert set(owned(track(live, new, "editor"))) == managers


def test_a_status_write_cannot_reset_ownership() -> None:
    live = created()
    new = copy.deepcopy(live)
    new["metadata"]["managedFields"] = [{}]
    assert [entry.manager for entry in track(live, new, "kubelet", subresource="status")] == ["creator"]


@pytest.mark.parametrize(
    "fields", [5, {"x": 1}, {"f:a": 5}, {"f:a": {"nonsense": {}}}, {"k:nonsense": {}}, {"f:spec": {"k:{": {}}}]
)
def test_malformed_entries_of_a_request_do_no_harm(fields: Any) -> None:
    live = created()
    new = copy.deepcopy(live)
    entry = {
        "manager": "x",
        "operation": "Apply",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    new["metadata"]["managedFields"] = [entry]
    assert track(live, new, "editor")
    assert apply(new, simple(hostname="h"), force=True)


def test_an_untracked_object_stays_so_until_it_is_applied() -> None:
    new = pod()
    new["metadata"]["labels"]["x"] = "y"
    assert track(pod(), new, "editor") == []
    _, entries = apply(pod(), simple(hostname="h"))
    assert set(owned(entries)) == {"a", "before-first-apply"}


def test_ports_with_one_number_and_two_protocols_are_two() -> None:
    document = service()
    document["spec"]["ports"] = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    places = owned(track(None, document, definition=SERVICE))["m"]
    assert {'.spec.ports[port=53,protocol="UDP"]', '.spec.ports[port=53,protocol="TCP"]'} <= places


def test_a_port_without_protocol_is_tcp() -> None:
    document = service()
    document["spec"]["ports"] = [{"port": 80}]
    assert '.spec.ports[port=80,protocol="TCP"].port' in owned(track(None, document, definition=SERVICE))["m"]


def test_atomic_lists_and_maps_are_owned_as_a_whole() -> None:
    places = owned(track(None, pod()))["m"]
    assert ".spec.nodeSelector" in places
    assert ".spec.tolerations" in places
    assert not any(path.startswith((".spec.nodeSelector.", ".spec.tolerations[")) for path in places)


def test_at_most_ten_updaters_are_remembered() -> None:
    live = created()
    for n in range(15):
        new = copy.deepcopy(live)
        new["metadata"]["labels"][f"l{n}"] = "x"
        live = stored(new, track(live, new, f"u{n}", time=f"t{n + 1:02}"))
    entries = live["metadata"]["managedFields"]
    assert len(entries) == 10
    ancient = next(entry for entry in entries if entry["manager"] == "ancient-changes")
    assert set(ancient["fieldsV1"]["f:metadata"]["f:labels"]) >= {"f:l0", "f:app"}


def test_apply_creates() -> None:
    config = simple(containers=[{"name": "web", "image": "i", "ports": [{"containerPort": 80}]}])
    merged, entries = apply(None, config)
    assert merged == config
    assert owned(entries)["a"] == {
        '.spec.containers[name="web"]',
        '.spec.containers[name="web"].name',
        '.spec.containers[name="web"].image',
        '.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"]',
        '.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"].containerPort',
    }


def test_apply_removes_what_it_no_longer_names() -> None:
    containers = [{"name": "web"}, {"name": "b"}]
    first = simple(hostname="h", subdomain="s", containers=containers, securityContext={"runAsUser": 1})
    live = stored(*apply(None, first))
    merged, entries = apply(live, simple(hostname="h", containers=[{"name": "web"}]), time="t2")
    assert merged["spec"] == {"hostname": "h", "containers": [{"name": "web"}]}
    assert [(entry.manager, entry.time) for entry in entries] == [("a", "t2")]


def test_apply_leaves_what_another_still_owns() -> None:
    live = stored(*apply(None, simple(hostname="h", subdomain="s")))
    live = stored(*apply(live, simple(hostname="h"), "b"))
    merged, entries = apply(live, simple(subdomain="s"), "a")
    assert merged["spec"] == {"hostname": "h", "subdomain": "s"}
    assert owned(entries) == {"a": {".spec.subdomain"}, "b": {".spec.hostname"}}


def test_apply_leaves_what_nobody_applied() -> None:
    live = stored(*apply(None, simple(hostname="h")))
    live["spec"]["dnsPolicy"] = "ClusterFirst"  # a default
    assert apply(live, simple(subdomain="s"))[0]["spec"] == {"dnsPolicy": "ClusterFirst", "subdomain": "s"}


def test_an_empty_map_or_list_in_a_document_takes_nothing_away() -> None:
    live = created()
    merged, _ = apply(live, {**simple(containers=[], securityContext={}), "metadata": {"labels": {}}}, "b")
    assert merged == live


def test_two_live_elements_of_one_key_are_left_alone() -> None:
    live = stored(*apply(None, simple(hostname="h")))
    live["spec"]["containers"] = [{"name": "a", "env": [{"name": "E", "value": "1"}, {"name": "E", "value": "2"}]}]
    merged, _ = apply(live, simple(containers=[{"name": "a", "env": [{"name": "F"}]}]), "b")
    assert sorted(variable["name"] for variable in merged["spec"]["containers"][0]["env"]) == ["E", "E", "F"]


def test_applying_the_same_again_changes_nothing() -> None:
    live = stored(*apply(None, simple(hostname="h")))
    merged, entries = apply(live, simple(hostname="h"), time="t2")
    assert stored(merged, entries) == live


def test_another_value_of_an_owned_field_is_a_conflict_and_force_takes_it() -> None:
    live = stored(*apply(None, simple(hostname="h", subdomain="s")))
    with pytest.raises(Conflict) as caught:
        apply(live, simple(hostname="other"), "b")
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "a": .spec.hostname'
    [cause] = caught.value.status().details.causes  # type: ignore[union-attr]
    assert (cause.reason, cause.field, cause.message) == (
        "FieldManagerConflict", ".spec.hostname", 'conflict with "a"',
    )  # fmt: skip
    merged, entries = apply(live, simple(hostname="other"), "b", force=True)
    assert merged["spec"] == {"hostname": "other", "subdomain": "s"}
    assert owned(entries) == {"a": {".spec.subdomain"}, "b": {".spec.hostname"}}


def test_several_conflicts_are_all_named() -> None:
    live = created()
    with pytest.raises(Conflict) as caught:
        apply(live, {**simple(restartPolicy="Never"), "metadata": {"labels": {"app": "x"}}}, "b")
    assert caught.value.message == (
        'Apply failed with 2 conflicts: conflicts with "creator" using v1:\n'
        "- .metadata.labels.app\n"
        "- .spec.restartPolicy"
    )


def test_the_same_value_is_shared() -> None:
    live = stored(*apply(None, simple(hostname="h")))
    assert owned(apply(live, simple(hostname="h"), "b")[1]) == {"a": {".spec.hostname"}, "b": {".spec.hostname"}}


def test_an_update_takes_a_field_from_its_applier() -> None:
    live = stored(*apply(None, simple(hostname="h", subdomain="s")))
    new = copy.deepcopy(live)
    new["spec"]["hostname"] = "other"
    assert owned(track(live, new, "editor")) == {"a": {".spec.subdomain"}, "editor": {".spec.hostname"}}


def test_apply_orders_lists_as_its_document() -> None:
    live = stored(*apply(None, simple(containers=[{"name": n} for n in "abc"])))
    merged, _ = apply(live, simple(containers=[{"name": n} for n in "dca"]), "b")
    assert [container["name"] for container in merged["spec"]["containers"]] == ["b", "d", "c", "a"]


@pytest.mark.parametrize(
    ("live", "applied", "merged"),
    [
        ("ab", "c", "abc"),
        ("ab", "cb", "acb"),
        ("ab", "bc", "abc"),
        ("ab", "ba", "ba"),
        ("abc", "ac", "abc"),
        ("", "ab", "ab"),
        ("ab", "", "ab"),
        ("abcd", "dxb", "acdxb"),
    ],
)
def test_what_a_manager_adds_to_a_list_follows_what_is_there(live: str, applied: str, merged: str) -> None:
    """The order of structured-merge-diff, so that the first container stays the default one."""
    assert merged_order(list(live), list(applied)) == list(merged)


@pytest.mark.parametrize(
    "config",
    [
        {"apiVersion": "v2", "kind": "Pod"},
        {"kind": "Pod"},
        {"apiVersion": "v1", "metadata": {"managedFields": []}},
        {"apiVersion": "v1", "spec": {"containers": [{"name": "a"}, {"name": "a"}]}},
    ],
)
def test_documents_that_cannot_be_applied(config: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        apply(None, config)


_SETS = documents(POD).map(lambda document: everything(shape_of(POD), document))
_SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)


@_SLOW
@given(_SETS, _SETS)
def test_the_algebra_of_sets(left: Any, right: Any) -> None:
    a, b = set(paths(left)), set(paths(right))
    assert set(paths(union(left, right))) == a | b
    assert set(paths(difference(left, right))) == a - b
    assert set(paths(intersection(left, right))) == a & b


_A = {"name": "A", "value": "1"}
_UNTRACKED = (".apiVersion", ".kind", *(f".metadata.{name}" for name in (
    "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "resourceVersion",
)))  # fmt: skip


def leaves(shape: Shape, value: Any, path: str = "") -> dict[str, Any]:
    """Every field that can have an owner and has no parts with owners, with its value: an oracle for ``compare``."""
    if path and is_leaf(shape, value):
        return {path: value}
    result: dict[str, Any] = {}
    if isinstance(value, dict):
        for name, part in value.items():
            result |= leaves(shape.child(name), part, f"{path}.{name}")
        return result
    groups: dict[str, list[Any]] = {}
    for element in value:
        groups.setdefault(element_key(shape, element), []).append(element)
    for key, group in groups.items():
        [place] = paths({key: {}})
        result |= {f"{path}{place}": group} if len(group) > 1 else leaves(shape.element, group[0], f"{path}{place}")
    return result


@_SLOW
@given(documents(POD), documents(POD), documents(POD))
@example(simple(containers=[{"name": "c", "env": [_A]}]), simple(containers=[{"name": "c", "env": [_A, _A]}]), simple())
@example(simple(containers=[{"name": "c", "env": [_A, _A]}]), simple(containers=[{"name": "c", "env": [_A]}]), simple())
def test_every_field_has_an_owner_and_a_changed_one_has_only_the_last(
    first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]
) -> None:
    shape = shape_of(POD)
    live: dict[str, Any] | None = None
    before = leaves(shape, blank(POD))
    owners: dict[str, set[str]] = {}
    for n, document in enumerate((first, second, third)):
        new = {"metadata": {}, **copy.deepcopy(document)}
        new["metadata"] = {k: v for k, v in (new["metadata"] or {}).items() if k != "managedFields"}
        entries = track(live, new, f"m{n}", time=f"t{n}")
        if not entries:
            return  # an object of which nobody owns anything is not tracked from then on
        live = stored(new, entries)
        now = leaves(shape, new)
        expected = {
            path: {f"m{n}"} if path not in before or _differs(before[path], value) else owners.get(path, set())
            for path, value in now.items()
            if not path.startswith(_UNTRACKED)
            and not _emptied(path, value, before)  # taking all pieces of a map away changes the pieces, not the map
        }
        owned_by = owned(entries)
        owners = {path: {manager for manager, fields in owned_by.items() if path in fields} for path in expected}
        assert owners == expected
        exist = set(paths(everything(shape, new)))
        assert all(fields <= exist for fields in owned_by.values()), "nobody owns what is not there"
        before = now


def _emptied(path: str, value: Any, before: dict[str, Any]) -> bool:
    return not value and any(old.startswith((f"{path}.", f"{path}[")) for old in before)


def _differs(old: Any, new: Any) -> bool:
    return bool(old != new or type(old) is not type(new))


def _unmanaged(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document["metadata"].items() if key != "managedFields"}


@_SLOW
@given(documents(POD), documents(POD))
def test_a_forced_apply_gives_what_its_document_says(first: dict[str, Any], second: dict[str, Any]) -> None:
    for document in (first, second):
        document.setdefault("metadata", {}).pop("managedFields", None)
        document["apiVersion"] = "v1"
    try:
        live = stored(*apply(None, first))
        merged, entries = apply(live, second, "b", force=True)
    except BadRequest as fault:
        assume("duplicate entries" not in fault.message)
        raise
    again, entries_again = apply(stored(merged, entries), second, "b")
    assert again["metadata"].pop("managedFields", []) == codec.to_builtins(entries)
    assert {**again, "metadata": again["metadata"]} == {**merged, "metadata": _unmanaged(merged)}
    assert entries_again == entries
