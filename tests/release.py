"""Run ``make up``, ``make test`` and ``make down`` in a bare Debian of any release: ``python -m tests.release trixie``.

The userland is debootstrap's ``minbase`` and contains only what the README requires and ``make`` installs. It is the
root (``pivot_root``) of a new mount and process namespace, with proc, sys, dev and a tmpfs on /run: in a mere chroot
the engine's ``exec`` would run in the host's root. Network and kernel are the host's. Needs root and debootstrap.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
CACHE = Path("/var/tmp/peapod-releases")
REQUIRED = "make python3"
"""The packages that the README requires."""
COMMANDS = ("make up", "make test", "make down")
PASSED_ON = ("PIP_", "UV_", "npm_config_", "http_proxy", "https_proxy", "no_proxy")
"""Variables that configure this machine's package registries; nothing else of the environment is passed on."""
CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
"""Variables that name the certificate authorities of a machine's private registries."""
COPIED = "/usr/local/share/host-authorities.crt"

ENTER = """
set -e
cd "$1"
mount --bind . . && cd "$1"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p .host
pivot_root . .host
cd /
umount -l /.host
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 sh -ec "$2"
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.release", description=__doc__)
    parser.add_argument("release", help="Debian's code name, such as bookworm or trixie")
    parser.add_argument("commands", nargs="*", default=COMMANDS, help=f"instead of {', '.join(map(repr, COMMANDS))}")
    options = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        print("tests.release needs root and debootstrap ('make test-release' installs it)", file=sys.stderr)
        return 1
    root = fresh_root(bare(options.release))
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(CHECKOUT), str(root / "root/peapod")], check=True)
    commands = [f"apt-get -qq update && apt-get -qq install --yes --no-install-recommends {REQUIRED} >/dev/null"]
    commands += [f"cd /root/peapod && {command}" for command in options.commands]
    for command in commands:
        print(f"==> {options.release}: {command}", flush=True)
        began = time.monotonic()
        if code := run_in(root, command):
            print(f"==> {options.release}: failed with {code}; its root is {root}", file=sys.stderr)
            return code
        print(f"==> {options.release}: {time.monotonic() - began:.0f} s", flush=True)
    shutil.rmtree(root)
    print(f"All commands passed on {options.release}.")
    return 0


def bare(release: str) -> Path:
    """The release's minimal userland, created once and cached."""
    base = CACHE / f"{release}-base"
    if not base.exists():
        print(f"==> {release}: debootstrap", flush=True)
        temporary = CACHE / f"{release}-new"
        shutil.rmtree(temporary, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        log = CACHE / f"{release}.log"
        with log.open("wb") as output:
            command = ["debootstrap", "--variant=minbase", release, str(temporary)]
            if subprocess.run(command, stdout=output, stderr=output).returncode:
                raise SystemExit(f"debootstrap failed; its log is {log}")
        temporary.rename(base)
    return base


def fresh_root(base: Path) -> Path:
    root = base.with_name(f"{base.name.removesuffix('-base')}-{os.getpid()}")
    subprocess.run(["cp", "--archive", str(base), str(root)], check=True)
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", root / "etc" / name)
    if authorities := next((os.environ[name] for name in CERTIFICATES if name in os.environ), None):
        shutil.copy(authorities, root / COPIED.lstrip("/"))
    return root


def run_in(root: Path, command: str) -> int:
    """Run a command. Returns its exit status; processes that it leaves behind end with its process namespace."""
    passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    passed |= {name: COPIED for name in CERTIFICATES if name in os.environ}
    script = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in passed.items()) + f"\n{command}\n"
    return subprocess.run(entered(root, script), stdin=subprocess.DEVNULL).returncode


def entered(root: Path, script: str) -> Sequence[str]:
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    return [*unshare, "sh", "-c", ENTER, "sh", str(root), script]


if __name__ == "__main__":
    sys.exit(main())
