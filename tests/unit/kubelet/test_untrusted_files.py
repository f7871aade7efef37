"""What a container may leave in a file of the kubelet's, and what reading it costs."""

import errno
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from kubelet import untrusted_files

HUGE = 3 * 1024**3


@pytest.fixture
def hole(tmp_path: Path) -> Path:
    """A file of 3 GB that takes no disk, and ends with a word."""
    path = tmp_path / "hole"
    with path.open("wb") as file:
        file.seek(HUGE - 3)
        file.write(b"end")
    return path


def peak(work: Callable[[], object]) -> int:
    """Bytes of memory that it takes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_huge_file_costs_no_more_than_what_is_asked_of_it(hole: Path) -> None:
    def work() -> None:
        assert untrusted_files.read_end(hole, 4096) == b"\0" * 4093 + b"end"
        assert not untrusted_files.contains(hole, b"127.0.0.1 localhost")
        with pytest.raises(OSError, match="larger than 1000 bytes"):
            untrusted_files.read_whole(hole, 1000)
        untrusted_files.write_in_place(hole, b"127.0.0.1 localhost")

    assert peak(work) < 1024**2
    assert hole.read_bytes() == b"127.0.0.1 localhost"


def test_a_file_is_written_in_place_and_only_when_it_differs(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    untrusted_files.write_in_place(path, b"one")
    inode, written = path.stat().st_ino, path.stat().st_mtime_ns
    os.utime(path, ns=(written, written - 10**9))
    untrusted_files.write_in_place(path, b"one")
    assert path.stat().st_mtime_ns == written - 10**9
    path.write_bytes(b"\xff\xfe")
    untrusted_files.write_in_place(path, b"one")
    assert (path.read_bytes(), path.stat().st_ino) == (b"one", inode)
    assert untrusted_files.contains(path, b"one")
    assert not untrusted_files.contains(path, b"two")


def test_a_short_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"last words")
    assert untrusted_files.read_end(path, 4096) == b"last words"
    assert untrusted_files.read_whole(path, 10) == b"last words"


@pytest.mark.parametrize("kind", ["fifo", "link", "device", "directory"])
def test_what_is_no_regular_file_is_an_error_at_once(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    other.write_bytes(b"secret")
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "link":
            path.symlink_to(other)
        case "device":
            path.symlink_to("/dev/zero")
        case "directory":
            path.mkdir()
    for work in (
        lambda: untrusted_files.read_end(path, 10),
        lambda: untrusted_files.contains(path, b"secret"),
        lambda: untrusted_files.write_in_place(path, b"new"),
        *((lambda: untrusted_files.read_whole(path, 10, follow_links=True),) if kind != "link" else ()),
    ):
        with pytest.raises(OSError) as caught:  # noqa: PT011  # the number tells which
            work()
        assert caught.value.errno in (errno.EINVAL, errno.ELOOP, errno.EISDIR, errno.ENXIO)
    assert other.read_bytes() == b"secret"
