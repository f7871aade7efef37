"""Volumes on a real directory: kinds, payloads, sub-paths, and taking them away."""

import asyncio
import os
import re
import socket
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apimachinery import codec
from apimachinery.schema import descriptions
from apimachinery.schema.definitions import definitions
from apimachinery.types import core_v1, meta_v1
from kubelet.resources.pod_disk import of_tree
from kubelet.volumes import VolumeError, mounts, ownership, payload
from kubelet.volumes.empty_dir import EmptyDir, memory_size
from kubelet.volumes.host_path import HostPath
from kubelet.volumes.local import Local
from kubelet.volumes.payload import File
from kubelet.volumes.plugin import Plugin, Request
from kubelet.volumes.sub_path import SubPaths, open_beneath
from kubelet.volumes.volumes import PLUGINS, container_mounts


def set_up(plugin: Plugin, directory: Path, volume: core_v1.Volume) -> Path:
    pod = core_v1.Pod(metadata=meta_v1.ObjectMeta(name="p", namespace="ns"))
    nothing: Any = None
    return asyncio.run(plugin.set_up(Request(pod, volume.name, volume, directory, nothing, (), {})))


def host_path(path: Path, type: str | None = None) -> core_v1.Volume:
    return core_v1.Volume(name="v", host_path=core_v1.HostPathVolumeSource(path=str(path), type=type))


def test_each_volume_has_one_plugin() -> None:
    kinds = [plugin.kind for plugin in PLUGINS]
    assert len(set(kinds)) == len(kinds)
    volume = core_v1.Volume(name="v", empty_dir=core_v1.EmptyDirVolumeSource())
    assert [plugin.kind for plugin in PLUGINS if plugin.handles(volume)] == ["empty-dir"]


@pytest.mark.parametrize(
    ("spec", "kinds"),
    [
        (core_v1.PersistentVolumeSpec(host_path=core_v1.HostPathVolumeSource(path="/a")), ["host-path"]),
        (core_v1.PersistentVolumeSpec(nfs=core_v1.NFSVolumeSource(server="s", path="/a")), ["nfs"]),
        (core_v1.PersistentVolumeSpec(local=core_v1.LocalVolumeSource(path="/a")), ["local-volume"]),
        (core_v1.PersistentVolumeSpec(), []),
    ],
)
def test_a_persistent_volume_has_the_plugin_of_its_type(spec: core_v1.PersistentVolumeSpec, kinds: list[str]) -> None:
    assert [plugin.kind for plugin in PLUGINS if plugin.handles(spec)] == kinds


def test_a_local_volume_is_given_to_the_pods_group_unless_it_is_read_only(tmp_path: Path) -> None:
    spec = core_v1.PersistentVolumeSpec(local=core_v1.LocalVolumeSource(path=str(tmp_path)))
    pod = core_v1.Pod(
        spec=core_v1.PodSpec(containers=[], security_context=core_v1.PodSecurityContext(fs_group=os.getgid()))
    )
    nothing: Any = None
    request = Request(pod, "v", spec, tmp_path / "unused", nothing, (), {}, read_only=True)
    assert asyncio.run(Local().set_up(request)) == tmp_path
    assert not tmp_path.stat().st_mode & stat.S_ISGID
    asyncio.run(Local().set_up(replace(request, read_only=False)))
    assert tmp_path.stat().st_mode & stat.S_ISGID


def test_kubectl_explain_names_the_volumes_that_nodes_mount() -> None:
    text = descriptions.load().definitions["core.v1.Volume"][""]
    named = re.findall(r"\w+", text.partition("mount")[2].replace(" and ", " "))
    sources = [field for field in definitions()["io.k8s.api.core.v1.Volume"]["properties"] if field != "name"]
    volumes = {field: codec.from_builtins({"name": "v", field: {}}, core_v1.Volume) for field in sources}
    mounted = [field for field, volume in volumes.items() if any(plugin.handles(volume) for plugin in PLUGINS)]
    assert sorted(named) == sorted(mounted)


def test_an_empty_dir_may_be_written_by_anybody_and_keeps_its_content(tmp_path: Path) -> None:
    volume = core_v1.Volume(name="v", empty_dir=core_v1.EmptyDirVolumeSource())
    path = set_up(EmptyDir(), tmp_path / "d", volume)
    assert path.stat().st_mode & 0o777 == 0o777
    (path / "f").write_text("x")
    assert set_up(EmptyDir(), tmp_path / "d", volume) == path
    assert (path / "f").read_text() == "x"


@pytest.mark.parametrize("type", ["Directory", "File", "Socket", "CharDevice", "BlockDevice"])
def test_a_host_path_that_is_not_there_is_refused_where_a_type_asks(tmp_path: Path, type: str) -> None:
    with pytest.raises(VolumeError, match="hostPath type check failed"):
        set_up(HostPath(), tmp_path, host_path(tmp_path / "none", type))


def test_host_paths_are_checked_and_made(tmp_path: Path) -> None:
    assert set_up(HostPath(), tmp_path, host_path(tmp_path / "a/b", "DirectoryOrCreate")).is_dir()
    assert set_up(HostPath(), tmp_path, host_path(tmp_path / "f", "FileOrCreate")).is_file()
    assert set_up(HostPath(), tmp_path, host_path(Path("/dev/null"), "CharDevice")) == Path("/dev/null")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        set_up(HostPath(), tmp_path, host_path(tmp_path / "s", "Socket"))
    with pytest.raises(VolumeError, match="is not a directory"):
        set_up(HostPath(), tmp_path, host_path(tmp_path / "f", "Directory"))
    with pytest.raises(VolumeError, match="must be absolute"):
        set_up(HostPath(), tmp_path, host_path(Path("../etc")))


def test_a_payload_is_swapped_as_a_whole(tmp_path: Path) -> None:
    payload.write(tmp_path, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o400)})
    assert (tmp_path / "a").read_bytes() == b"1"
    assert (tmp_path / "d/b").stat().st_mode & 0o777 == 0o400
    first = os.readlink(tmp_path / "..data")
    payload.write(tmp_path, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o400)})
    assert os.readlink(tmp_path / "..data") == first
    payload.write(tmp_path, {"c": File(b"3", 0o644)})
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("..")) == ["c"]
    assert not (tmp_path / first).exists()


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "..data", ""])
def test_a_payload_cannot_leave_its_volume(path: str) -> None:
    with pytest.raises(VolumeError, match="invalid path"):
        payload.checked_path(path)


def test_items_choose_keys_and_modes() -> None:
    items = [core_v1.KeyToPath(key="k", path="sub/f", mode=0o600)]
    files = payload.select("config", {"k": b"v", "other": b""}, items, 0o644, optional=False)
    assert files == {"sub/f": File(b"v", 0o600)}
    with pytest.raises(VolumeError, match="references non-existent config key: k"):
        payload.select("config", {}, items, 0o644, optional=False)


def test_container_mounts_find_their_volumes_and_sub_paths(tmp_path: Path) -> None:
    mount = core_v1.VolumeMount(name="v", mount_path="data", sub_path_expr="of-$(NAME)", read_only=True)
    container = core_v1.Container(name="c", volume_mounts=[mount])
    pod = core_v1.Pod(spec=core_v1.PodSpec(volumes=[core_v1.Volume(name="v")]))
    bind = SubPaths(tmp_path, "c").bind
    (mount,) = container_mounts(pod, container, {"v": tmp_path}, {"NAME": "web"}, lambda path, *_: path / _[-1])
    assert (mount.source, mount.target, mount.read_only) == (tmp_path / "of-web", "/data", True)
    with pytest.raises(VolumeError, match='missing value for "NAME"'):
        container_mounts(pod, container, {"v": tmp_path}, {}, bind)
    with pytest.raises(VolumeError, match='cannot find volume "v"'):
        container_mounts(pod, container, {}, {}, bind)


def test_what_comes_from_the_api_and_a_claim_that_says_so_is_read_only() -> None:
    volumes = [
        core_v1.Volume(name="c", config_map=core_v1.ConfigMapVolumeSource()),
        core_v1.Volume(name="p", persistent_volume_claim=core_v1.PersistentVolumeClaimVolumeSource(read_only=True)),
        core_v1.Volume(name="e", empty_dir=core_v1.EmptyDirVolumeSource()),
    ]
    mounts = [core_v1.VolumeMount(name=volume.name, mount_path=f"/{volume.name}") for volume in volumes]
    container = core_v1.Container(name="c", volume_mounts=mounts)
    pod = core_v1.Pod(spec=core_v1.PodSpec(containers=[container], volumes=volumes))
    paths = {volume.name: Path("/x") for volume in volumes}
    result = container_mounts(pod, container, paths, {}, lambda path, *_: path)
    assert [mount.read_only for mount in result] == [True, True, False]


def test_a_sub_path_must_not_lead_out_of_its_volume(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "out").symlink_to("/etc")
    for path in ("out", "out/passwd", "../x", "/etc"):
        with pytest.raises(VolumeError, match="subPath"):
            open_beneath(tmp_path / "v", path)
    (tmp_path / "v" / "inside").symlink_to("real")  # a link that stays inside is no harm
    fd = open_beneath(tmp_path / "v", "inside/deep")
    assert os.readlink(f"/proc/self/fd/{fd}") == str(tmp_path / "v/real/deep")
    os.close(fd)


def test_a_sub_path_that_becomes_a_link_while_it_is_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What CVE-2017-1002101 was about: checked as a directory, mounted as a link."""
    (tmp_path / "v" / "d").mkdir(parents=True)
    resolve = Path.resolve

    def swap(path: Path, strict: bool = False) -> Path:
        resolved = resolve(path, strict)
        if resolved == tmp_path / "v" / "d":
            resolved.rmdir()
            resolved.symlink_to("/etc")
        return resolved

    monkeypatch.setattr(Path, "resolve", swap)
    with pytest.raises(VolumeError, match="leads out of the volume"):
        open_beneath(tmp_path / "v", "d")


def test_a_memory_volume_is_as_large_as_its_least_bound() -> None:
    def size(limit: str | None, memory: str | None) -> int:
        resources = core_v1.ResourceRequirements(limits={"memory": memory} if memory else None)
        pod = core_v1.Pod(spec=core_v1.PodSpec(containers=[core_v1.Container(name="c", resources=resources)]))
        return memory_size(pod, core_v1.EmptyDirVolumeSource(size_limit=limit), {"memory": "1Gi"})

    assert size(None, None) == 1024**3
    assert size("2Mi", "3Mi") == 2 * 1024**2
    assert size("4Mi", "3Mi") == 3 * 1024**2
    assert size(None, "3Mi") == 3 * 1024**2


def test_what_an_empty_dir_holds_is_counted_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(os.urandom(100_000))
    os.link(tmp_path / "a", tmp_path / "b")
    assert 100_000 <= of_tree(tmp_path).bytes < 150_000


def test_a_tree_deeper_than_python_s_stack_and_than_any_path_is_removed(tmp_path: Path) -> None:
    tree = tmp_path / "pod"
    tree.mkdir()
    fd = os.open(tree, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=fd)
        below = os.open("deep", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    mounts.remove_tree(tree)
    assert not tree.exists()


def test_a_volume_deeper_than_python_s_stack_is_given_to_the_group(tmp_path: Path) -> None:
    deepest = tmp_path
    for _ in range(1200):
        deepest /= "d"
        deepest.mkdir()
    (deepest / "file").touch()
    pod = core_v1.Pod(spec=core_v1.PodSpec(security_context=core_v1.PodSecurityContext(fs_group=os.getgid())))
    ownership.apply(tmp_path, pod)
    assert (deepest / "file").stat().st_mode & 0o660 == 0o660
    assert tmp_path.stat().st_mode & 0o2770 == 0o2770
    mounts.remove_tree(tmp_path / "d")


def test_a_link_that_takes_the_place_of_a_file_or_directory_meanwhile_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is swapped after the walk has seen it, in the moment before it is opened."""
    outside, volume = tmp_path / "outside", tmp_path / "volume"
    (outside / "directory").mkdir(parents=True)
    (outside / "directory" / "secret").touch(0o600)
    (outside / "file").touch(0o600)
    volume.mkdir()
    (volume / "directory").mkdir()
    (volume / "file").touch(0o600)
    (volume / "kept").touch(0o600)
    opened = os.open

    def swapping(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if path in ("directory", "file") and not (volume / path).is_symlink():
            (volume / path).rename(tmp_path / f"old-{path}")
            (volume / path).symlink_to(outside / path)
        return opened(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", swapping)
    pod = core_v1.Pod(spec=core_v1.PodSpec(security_context=core_v1.PodSecurityContext(fs_group=os.getgid())))
    ownership.apply(volume, pod)
    assert (volume / "file").is_symlink()
    assert (volume / "directory").is_symlink()
    for untouched in (outside / "file", outside / "directory" / "secret"):
        assert untouched.stat().st_mode & 0o777 == 0o600
    assert (volume / "kept").stat().st_mode & 0o777 == 0o660


def test_names_that_containers_gave_do_not_hide_mounts() -> None:
    lines = [
        os.fsdecode(line)
        for line in (b"1 0 0:1 /caf\xe9 /p/a rw", b"2 0 0:1 /x\x1c /p/b rw", "3 0 0:1 /\u2003 /p/c rw".encode())
    ]
    assert mounts.mounts_below(Path("/p"), "\n".join(lines)) == [Path("/p/c"), Path("/p/b"), Path("/p/a")]


def test_mounts_come_off_latest_first_and_only_below_the_path() -> None:
    lines = ["1 0 0:1 / / rw", "2 1 0:2 / /p/a rw", "3 2 0:3 / /p/a/b\\040c rw", "4 1 0:4 / /pa rw"]
    below = mounts.mounts_below(Path("/p"), "\n".join(lines))
    assert below == [Path("/p/a/b c"), Path("/p/a")]


def test_a_tree_is_removed_without_following_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("x")
    tree = tmp_path / "pods"
    tree.mkdir()
    (tree / "link").symlink_to(outside)
    mounts.remove_tree(tree)
    assert not tree.exists()
    assert (outside / "f").exists()
    mounts.remove_tree(tree)
