"""Images as data: the same inputs give the same bytes, and the archive holds what docker load expects."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from deploy.images import python
from deploy.images.archive import Entry, Image, archive, layer
from deploy.images.host import parse_ldd


def names(tar: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return opened.getnames()


def read(tar: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        member = opened.extractfile(name)
        assert member is not None
        return member.read()


def test_a_layer_does_not_depend_on_the_order_of_its_entries_and_has_all_folders() -> None:
    entries = [Entry("bin/sh", target="busybox"), Entry("bin/busybox", b"x"), Entry("tmp", mode=0o1777)]
    assert layer(entries) == layer(entries[::-1])
    assert names(layer(entries)) == ["bin", "bin/busybox", "bin/sh", "tmp"]


def test_time_and_user_do_not_show_in_a_layer() -> None:
    with tarfile.open(fileobj=io.BytesIO(layer([Entry("a", b"x")]))) as opened:
        assert [(member.mtime, member.uid, member.gid, member.mode) for member in opened] == [(0, 0, 0, 0o755)]


def test_an_images_id_is_its_configurations_hash_and_changes_with_its_content() -> None:
    first = Image(("a:1",), (layer([Entry("f", b"1")]),), {"Cmd": ["sh"]})
    two = Image(("a:1",), (layer([Entry("f", b"2")]),), {"Cmd": ["sh"]})
    assert first.id != two.id
    config = read(archive([first]), f"{first.id.removeprefix('sha256:')}.json")
    assert first.id == f"sha256:{hashlib.sha256(config).hexdigest()}"


def test_an_archive_holds_shared_layers_once() -> None:
    base, top = layer([Entry("f", b"1")]), layer([Entry("g", b"2")])
    tar = archive([Image(("a:1", "b:1"), (base,), {}), Image(("c:1",), (base, top), {})])
    manifest = json.loads(read(tar, "manifest.json"))
    assert [entry["RepoTags"] for entry in manifest] == [["a:1", "b:1"], ["c:1"]]
    assert manifest[0]["Layers"] == manifest[1]["Layers"][:1]
    assert sum(name.endswith("layer.tar") for name in names(tar)) == 2


def test_the_output_of_ldd_is_parsed_and_a_static_program_has_no_libraries() -> None:
    text = """\tlinux-vdso.so.1 (0x00007ffd)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f40)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f41)
"""
    assert parse_ldd(text) == [Path("/lib/x86_64-linux-gnu/libc.so.6"), Path("/lib64/ld-linux-x86-64.so.2")]
    assert parse_ldd("\tnot a dynamic executable\n") == []


def test_our_image_contains_our_requirements_and_no_other_installed_packages() -> None:
    names = {
        distribution.metadata["Name"].lower()
        for distribution in python._needed(["aiohttp", "dnslib", "httpx", "pygments", "pytest"])
    }

    assert {"aiohttp", "dnslib", "httpx", "httpcore", "yarl"} <= names
    assert not {"pygments", "pytest", "rich", "numpy", "grpcio"} & names


def test_tests_tools_and_sources_of_libraries_stay_out_of_an_image() -> None:
    left_out = ["test/a.py", "asyncio/__pycache__/a.pyc", "idlelib/x.py", "site-packages/x.py", "uvloop/loop.c"]
    contents = [
        "asyncio/events.py",
        "unittest/mock.py",
        "lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so",
        "x/testing.py",
    ]

    assert all(python._is_left_out(Path(name).parts) for name in left_out)
    assert not any(python._is_left_out(Path(name).parts) for name in contents)
