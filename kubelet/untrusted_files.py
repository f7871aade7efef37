"""Files that a container may have written: read no further than asked, and never waited for.

Whoever can write a file can make it 3 GB of nothing (a hole costs no disk), put bytes into it that are no text, or leave
a link, a FIFO or a device in its place. So a file is opened without blocking, has to be a regular one, and its size is
looked at before its content. All of these functions block a little: call them in a thread.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def read_end(path: Path, limit: int) -> bytes:
    """The last ``limit`` bytes. Raises OSError."""
    with _opened(path, os.O_RDONLY) as fd:
        start = max(0, os.fstat(fd).st_size - limit)
        return os.pread(fd, limit, start)


def read_whole(path: Path, limit: int, *, follow_links: bool = False) -> bytes:
    """The content of a file of at most ``limit`` bytes. Raises OSError, ``EFBIG`` for a larger one."""
    with _opened(path, os.O_RDONLY, follow_links=follow_links) as fd:
        content = _read(fd, limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return content


def contains(path: Path, content: bytes) -> bool:
    """Whether this is the content of a file. Raises OSError."""
    with _opened(path, os.O_RDONLY) as fd:
        return _contains(fd, content)


def write_in_place(path: Path, content: bytes) -> None:
    """Make this the content of a file, which keeps its inode, as a bind mount of it requires. Raises OSError."""
    with _opened(path, os.O_RDWR | os.O_CREAT) as fd:
        if _contains(fd, content):
            return
        os.ftruncate(fd, 0)
        written = 0
        while written < len(content):
            written += os.pwrite(fd, content[written:], written)


@contextmanager
def _opened(path: Path, flags: int, *, follow_links: bool = False) -> Iterator[int]:
    """A descriptor of a regular file."""
    flags |= os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    fd = os.open(path, flags, mode=0o644)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        yield fd
    finally:
        os.close(fd)


def _contains(fd: int, content: bytes) -> bool:
    return os.fstat(fd).st_size == len(content) and _read(fd, len(content) + 1) == content


def _read(fd: int, limit: int) -> bytes:
    """The first ``limit`` bytes, whatever the size was a moment ago."""
    content = bytearray()
    while data := os.pread(fd, limit - len(content), len(content)):
        content += data
    return bytes(content)
