"""Every program that Peapod and its tests start, the Debian packages that bring it, and the versions that are known to work.

Standard library alone: ``bootstrap`` reads it with the machine's own Python, before there is an environment.
"""

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where Debian puts programs; what the lab starts is looked up here, whatever lies on a person's PATH."""

LAB: Final[Mapping[str, tuple[str, ...]]] = {
    "etcd": ("etcd-server",),
    "dockerd": ("docker.io",),
    "docker": ("docker-cli", "docker.io"),  # a package of its own from Debian 13 on
    "containerd": ("containerd",),
    "iptables": ("iptables",),
    "iptables-legacy": ("iptables",),
    "iptables-nft": ("iptables",),
    "conntrack": ("conntrack",),
    "ip": ("iproute2",),
    "nsenter": ("util-linux",),
    "unshare": ("util-linux",),
    "mount": ("mount",),
    "busybox": ("busybox",),
    "gcc": ("gcc",),
    "strip": ("binutils",),
    "ldd": ("libc-bin",),
    "dpkg-deb": ("dpkg",),
}
"""What the lab and its daemons run: the program, and the packages of which one brings it."""

TOUR: Final[Mapping[str, tuple[str, ...]]] = {
    "kubectl": ("kubernetes-client",),
    "curl": ("curl",),
}
"""What the README's tour is walked with. A program from elsewhere on the PATH will do."""

TESTS: Final[Mapping[str, tuple[str, ...]]] = {
    "tcpdump": ("tcpdump",),
    "docker-registry": ("docker-registry",),
    "git": ("git",),
    "debootstrap": ("debootstrap",),
    "pgrep": ("procps",),
    "node": ("nodejs",),
    "npm": ("npm",),
}
"""What tests run besides."""

BENCHMARKS: Final[Mapping[str, tuple[str, ...]]] = {"wrk": ("wrk",)}
"""What benchmarks use where it is installed; they say so where it is not."""


@dataclass(frozen=True)
class KnownVersions:
    """The releases of one program that the whole of the tests ran with."""

    command: tuple[str, ...]
    tested: tuple[str, ...]
    """``major.minor`` each: those of Debian 12 and 13."""

    def differs(self, output: str) -> str:
        """The version in what the command printed, if it is none of the tested ones; empty if it is."""
        match = re.search(r"(\d+\.\d+)(?:\.\d+)*", output)
        if match is None:
            return "an unknown version"
        return "" if match[1] in self.tested else match[0]


KNOWN: Final = {
    "etcd": KnownVersions(("etcd", "--version"), ("3.4", "3.5")),
    "Docker": KnownVersions(("dockerd", "--version"), ("20.10", "26.1")),
    "iptables": KnownVersions(("iptables", "--version"), ("1.8",)),
}


def missing(programs: Mapping[str, tuple[str, ...]], path: str | None = PATH) -> dict[str, tuple[str, ...]]:
    """The programs that are not there, with the packages that could bring them; ``path`` None is the caller's PATH."""
    return {name: packages for name, packages in programs.items() if shutil.which(name, path=path) is None}


def first_available(packages: Iterable[str], available: Iterable[str]) -> str:
    """The first of ``packages`` that this release of Debian has; the last where it has none, to be named in an error."""
    candidates, known = list(packages), set(available)
    return next((package for package in candidates if package in known), candidates[-1])
