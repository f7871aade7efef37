"""Every program that Peapod and its tests start, the Debian packages that contain it, and tested versions.

Uses only the standard library: ``bootstrap`` imports it with the machine's own Python, before there is an environment.
"""

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where Debian puts programs. The lab looks its programs up here, not on the user's PATH."""

LAB: Final[Mapping[str, tuple[str, ...]]] = {
    "etcd": ("etcd-server",),
    "dockerd": ("docker.io",),
    "docker": ("docker-cli", "docker.io"),  # a separate package from Debian 13 on
    "containerd": ("containerd",),
    "iptables": ("iptables",),
    "iptables-legacy": ("iptables",),
    "iptables-nft": ("iptables",),
    "conntrack": ("conntrack",),
    "ipset": ("ipset",),
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
"""Programs of the lab and its daemons, each with the packages that may contain it."""

TOUR: Final[Mapping[str, tuple[str, ...]]] = {
    "kubectl": ("kubernetes-client",),
    "curl": ("curl",),
}
"""Programs of the README's tour. Any program on the PATH will do."""

TESTS: Final[Mapping[str, tuple[str, ...]]] = {
    "tcpdump": ("tcpdump",),
    "docker-registry": ("docker-registry",),
    "git": ("git",),
    "debootstrap": ("debootstrap",),
    "pgrep": ("procps",),
    "node": ("nodejs",),
    "npm": ("npm",),
}
"""Programs that only tests run."""

BENCHMARKS: Final[Mapping[str, tuple[str, ...]]] = {"wrk": ("wrk",)}
"""Programs that benchmarks use if they are installed."""


@dataclass(frozen=True)
class KnownVersions:
    """The versions of a program on which all tests passed."""

    command: tuple[str, ...]
    tested: tuple[str, ...]
    """``major.minor`` each: those of Debian 12 and 13."""

    def differs(self, output: str) -> str:
        """The version in the command's output if it is not a tested one, otherwise empty."""
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
    """The missing programs, with the packages that may contain them; ``path`` None is the user's PATH."""
    return {name: packages for name, packages in programs.items() if shutil.which(name, path=path) is None}


def first_available(packages: Iterable[str], available: Iterable[str]) -> str:
    """The first of ``packages`` that this release of Debian has; if it has none, the last, for the error message."""
    candidates, known = list(packages), set(available)
    return next((package for package in candidates if package in known), candidates[-1])
