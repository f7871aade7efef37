"""Taking a pod's directory away never takes away what is mounted in it. Real mounts, so as root."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from apimachinery.types import core_v1
from kubelet.volumes import VolumeError, mounts, ownership
from kubelet.volumes.sub_path import SubPaths


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A directory of the node's own."""
    if os.geteuid():
        pytest.skip("needs root")
    made = tmp_path / "data"
    (made / "sub").mkdir(parents=True)
    (made / "sub" / "f").write_text("kept")
    yield made
    for point in mounts.mounts_below(tmp_path, Path("/proc/self/mountinfo").read_text()):
        subprocess.run(["umount", "-l", str(point)], check=False)


def test_what_is_mounted_below_a_pod_stays_also_where_a_link_leads_there(tmp_path: Path, data: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    pod = tmp_path / "root" / "pod"
    target = SubPaths(pod, "c").bind(data, "v", 0, "sub")
    assert (target / "f").read_text() == "kept"
    assert mounts.is_mount(target)
    mounts.remove_tree(pod)
    assert not pod.exists()
    assert (data / "sub" / "f").read_text() == "kept"


def test_a_part_that_is_a_file_and_a_container_that_starts_again(tmp_path: Path, data: Path) -> None:
    paths = SubPaths(tmp_path / "pod", "c")
    first = paths.bind(data, "v", 0, "sub/f")
    assert first.read_text() == "kept"
    (data / "sub" / "f").rename(data / "sub" / "old")
    (data / "sub" / "f").mkdir()
    again = paths.bind(data, "v", 0, "sub/f")
    assert again == first
    assert again.is_dir()
    assert len(mounts.mounts_below(tmp_path, Path("/proc/self/mountinfo").read_text())) == 1


def test_what_is_busy_is_detached(tmp_path: Path, data: Path) -> None:
    pod = tmp_path / "pod"
    target = SubPaths(pod, "c").bind(data, "v", 0, "sub")
    held = os.open(target, os.O_RDONLY)
    try:
        mounts.remove_tree(pod)
        assert not pod.exists()
        assert os.listdir(held) == ["f"]
    finally:
        os.close(held)


def test_a_server_that_is_not_there_is_an_error_in_the_words_of_mount(tmp_path: Path, data: Path) -> None:
    with pytest.raises(VolumeError, match=r"Mounting arguments: -t nfs -o soft 127\.0\.0\.1:/e"):
        mounts.mount_nfs("127.0.0.1", "/e", data, ["soft"])


def test_a_volume_is_given_to_its_group_once_where_the_pod_asks_for_no_more(tmp_path: Path, data: Path) -> None:
    def pod(policy: str | None) -> core_v1.Pod:
        security = core_v1.PodSecurityContext(fs_group=4321, fs_group_change_policy=policy)
        return core_v1.Pod(spec=core_v1.PodSpec(security_context=security))

    ownership.apply(data, pod(None))
    assert (data / "sub" / "f").stat().st_gid == 4321
    os.chown(data / "sub" / "f", -1, 0)
    ownership.apply(data, pod("OnRootMismatch"))
    assert (data / "sub" / "f").stat().st_gid == 0, "the root is right, so nobody looks further"
    ownership.apply(data, pod("Always"))
    assert (data / "sub" / "f").stat().st_gid == 4321
    os.chown(data, -1, 0)
    os.chown(data / "sub" / "f", -1, 0)
    ownership.apply(data, pod("OnRootMismatch"))
    assert (data / "sub" / "f").stat().st_gid == 4321
