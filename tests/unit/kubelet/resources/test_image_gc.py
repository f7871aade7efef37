"""When images are removed, and which."""

from pathlib import Path

import pytest

from kubelet.resources.image_gc import Disk, Policy, bytes_to_free, disk_of, full_name, removable
from kubelet.runtime.images import ImageRecord


@pytest.mark.parametrize(("used", "free"), [(84, 0), (85, 5), (100, 20)])
def test_thresholds(used: int, free: int) -> None:
    assert bytes_to_free(Disk(100, used), Policy()) == free


def test_a_root_behind_a_link_is_measured_where_it_lies(tmp_path: Path) -> None:
    root = tmp_path / "docker"
    root.symlink_to("/dev/shm")  # memory: another file system than the folder of the link
    assert disk_of(str(root)).capacity == disk_of("/dev/shm").capacity != disk_of(str(tmp_path)).capacity


def image(name: str, pulled: bool = True) -> ImageRecord:
    return ImageRecord(f"sha256:{name}", (f"{name}:latest",), 10, pulled)


def test_the_longest_unused_goes_first_and_what_is_needed_stays() -> None:
    images = [
        image("young"),
        image("old"),
        image("used"),
        image("named"),
        image("local", pulled=False),
        image("older"),
    ]
    last_used = dict.fromkeys((image.id for image in images), 0.0) | {"sha256:young": 95.0, "sha256:old": 10.0}
    in_use = frozenset({"sha256:used", "named:latest"})
    removed = removable(images, in_use, last_used, now=100.0, min_age=60.0)
    assert [image.id for image in removed] == ["sha256:older", "sha256:old"]


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("busybox", "busybox:latest"),
        ("docker.io/library/busybox:1", "busybox:1"),
        ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"),
        ("reg.io/a:1@sha256:0", "reg.io/a@sha256:0"),
    ],
)
def test_names_are_compared_as_the_engine_lists_them(name: str, listed: str) -> None:
    assert full_name(name) == listed
