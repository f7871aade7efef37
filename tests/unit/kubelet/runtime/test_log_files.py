"""Reading a container's log from the engine's files: in order, whole, through rotation."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelet.runtime.log_files import Formatter, LogFiles, read_files


class Writer:
    """Writes and rotates as the engine does."""

    def __init__(self, path: Path, keep: int = 3) -> None:
        self.path, self._keep, self._n = path, keep, 0
        self._file = path.open("ab")

    def write(self, *texts: str) -> None:
        for text in texts:
            self._n += 1
            entry = {"log": text, "stream": "stdout", "time": f"2026-01-01T00:00:{self._n:02d}.000000001Z"}
            self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()

    def rotate(self) -> None:
        self._file.close()
        for n in range(self._keep - 1, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{n}")
            newer = self.path.with_name(f"{self.path.name}.{n - 1}") if n > 1 else self.path
            if newer.exists():
                newer.rename(older)
        self._file = self.path.open("wb")

    def close(self) -> None:
        self._file.close()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    made = Writer(tmp_path / "x-json.log")
    yield made
    made.close()


def text_of(files: LogFiles, formatter: Formatter) -> str:
    out = b""
    while files.has_more() and (data := files.read()):
        out += formatter.feed(data)
    return out.decode()


def plain() -> Formatter:
    return Formatter(None, timestamps=False)


def test_all_files_are_read_the_oldest_first(writer: Writer) -> None:
    writer.write("a\n")
    writer.rotate()
    writer.write("b\n")
    writer.rotate()
    writer.write("c\n")
    files = LogFiles(writer.path)
    assert text_of(files, plain()) == "a\nb\nc\n"
    files.close()


def test_a_follower_loses_and_repeats_nothing(writer: Writer) -> None:
    writer.write("a\n")
    files, formatter = LogFiles(writer.path), plain()
    assert text_of(files, formatter) == "a\n"
    writer.write("b\n")
    writer.rotate()
    writer.write("c\n")
    writer.rotate()
    writer.write("d\n")
    assert text_of(files, formatter) == "b\nc\nd\n"
    writer.write("e\n")
    assert text_of(files, formatter) == "e\n"
    files.close()


def test_who_falls_behind_goes_on_with_the_oldest_that_is_left(writer: Writer) -> None:
    writer.write("a\n")
    files, formatter = LogFiles(writer.path), plain()
    for text in "bcdef":
        writer.write(f"{text}\n")
        writer.rotate()
    writer.write("g\n")
    # Three files remain; the one that is being read is still open.
    assert text_of(files, formatter) == "a\nb\ne\nf\ng\n"
    files.close()


def test_the_only_file_that_is_kept_begins_anew(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "y-json.log", keep=1)
    writer.write("long enough\n")
    files, formatter = LogFiles(writer.path), plain()
    assert text_of(files, formatter) == "long enough\n"
    writer.rotate()
    writer.write("b\n")
    assert text_of(files, formatter) == "b\n"
    files.close()
    writer.close()


@pytest.mark.parametrize(
    ("tail", "expected"),
    [(0, ""), (1, "d\n"), (2, "c\nd\n"), (3, "b\nc\nd\n"), (4, "a\nb\nc\nd\n"), (9, "a\nb\nc\nd\n")],
)
def test_the_last_lines(writer: Writer, tail: int, expected: str) -> None:
    writer.write("a\n", "b\n")
    writer.rotate()
    writer.write("c\n", "d\n")
    files = LogFiles(writer.path)
    files.skip_to_tail(tail)
    assert text_of(files, plain()) == expected
    files.close()


def test_since_and_timestamps(writer: Writer) -> None:
    writer.write("a\n", "b half, ", "b whole\n", "é\n")
    files = LogFiles(writer.path)
    since = 1767225602.0  # 2026-01-01T00:00:02Z
    assert text_of(files, Formatter(since, timestamps=True)) == (
        "2026-01-01T00:00:02.000000001Z b half, b whole\n2026-01-01T00:00:04.000000001Z é\n"
    )
    files.close()


def test_pieces_may_end_anywhere_and_broken_lines_are_left_out(writer: Writer) -> None:
    writer.write("a\n", "b\n")
    data = writer.path.read_bytes() + b'{"log":"half\n' + b'{"log":"c\\n","time":"2026-01-01T00:00:09Z"}\n'
    formatter = plain()
    assert b"".join(formatter.feed(data[i : i + 1]) for i in range(len(data))) == b"a\nb\nc\n"


async def test_following_ends_with_the_container(writer: Writer) -> None:
    writer.write("a\n")
    left = iter((True, True, False))
    chunks = read_files(LogFiles(writer.path), plain(), tail=None, follow=True, running=lambda: next(left))
    assert [chunk async for chunk in chunks] == [b"a\n"]


def test_there_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogFiles(tmp_path / "none")
