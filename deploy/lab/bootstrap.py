"""Install what is missing before anything else can run: Debian's packages, and the Python environment.

Runs with the machine's own Python and the standard library alone, since ``.venv`` may not exist yet. Installs
only what is missing, and leaves no service of a package behind that did not run before: the lab starts its
own etcd and engines. Ends with one sentence and exit code 1 where it cannot go on.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
VENV = CHECKOUT / ".venv"
STAMP = VENV / "installed-for"
POLICY = Path("/usr/sbin/policy-rc.d")
MINIMUM = (3, 11)

SERVICES = {"docker.io": ("docker.service", "docker.socket", "containerd.service"), "etcd-server": ("etcd.service",)}
"""The units that these packages start and enable when they are installed."""
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = {
    "etcd-server": "etcd",
    "docker.io": "dockerd",
    "iptables": "iptables-legacy",
    "iproute2": "ip",
    "conntrack": "conntrack",
    "busybox": "busybox",
    "gcc": "gcc",
}
"""Debian's packages, and a program that shows that one is there, by whatever way it came."""


class Failure(Exception):
    """One sentence for the person; nothing more can be done here."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m deploy.lab.bootstrap", description=__doc__)
    parser.add_argument(
        "--python-only", action="store_true", help="only .venv, which needs neither root nor packages of the lab"
    )
    options = parser.parse_args()
    try:
        if sys.version_info < MINIMUM:
            raise Failure(
                f"Peapod needs Python {'.'.join(map(str, MINIMUM))} or newer, this is {sys.version.split()[0]}"
            )
        if not options.python_only:
            if os.geteuid() != 0:
                raise Failure("the lab needs root (network namespaces, container engines): run it as root or with sudo")
            _report("packages", ensure_packages)
        _report("python", ensure_environment)
    except Failure as failure:
        print(f"\npeapod: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _report(name: str, action: Callable[[], str]) -> None:
    began = time.monotonic()
    print(f"  {name:<22}", end="", flush=True)
    detail = action()
    print(f"{detail:<60} {time.monotonic() - began:6.1f} s", flush=True)


def ensure_packages() -> str:
    missing = missing_packages()
    if not missing:
        return "all present"
    if shutil.which("apt-get") is None:
        raise Failure(f"{', '.join(missing)} are missing, and there is no apt-get here to install them with")
    with services_held_back(missing):
        # Never at the price of another package, such as a container engine from elsewhere.
        install = ["apt-get", "install", "--yes", "--no-remove", "--no-install-recommends", *missing]
        if _apt(install) != "" and ((trouble := _apt(["apt-get", "update"])) or (trouble := _apt(install))):
            raise Failure(f"{', '.join(missing)} could not be installed from Debian's packages: {trouble}")
    return f"installed {', '.join(missing)}"


def missing_packages() -> list[str]:
    """The packages without which the lab or the Python environment cannot be made."""
    missing = [package for package, program in PROGRAMS.items() if shutil.which(program, path=PATH) is None]
    if not Path("/usr/include/stdio.h").exists():
        missing.append("libc6-dev")
    if not VENV.exists() and subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True).returncode:
        missing.append("python3-venv")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():  # python-iptables comes as source
        missing.append("python3-dev")
    return missing


def _apt(argv: Sequence[str]) -> str:
    """Run apt-get; empty, or its last words when it failed."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    result = subprocess.run(argv, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    if result.returncode == 0:
        return ""
    lines = [line for line in (result.stderr or result.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E:")]
    return (errors or lines or [f"{argv[1]} failed"])[0]


@contextmanager
def services_held_back(packages: Sequence[str]) -> Iterator[None]:
    """Keep the services of packages that are being installed from starting, now and at the next boot."""
    ours = not POLICY.exists()
    if ours:  # what asks before a package's script starts a service; 101 means no
        POLICY.write_text("#!/bin/sh\n# Made by Peapod while it installs packages.\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)
        units = [unit for package in packages for unit in SERVICES.get(package, ())]
        if units and Path("/run/systemd/system").exists():
            subprocess.run(["systemctl", "disable", "--now", *units], capture_output=True, check=False)


def ensure_environment() -> str:
    """Make ``.venv``, and install the project into it, unless that was done for this pyproject.toml."""
    wanted = hashlib.sha256((CHECKOUT / "pyproject.toml").read_bytes()).hexdigest()
    python = VENV / "bin/python"
    if python.exists() and STAMP.exists() and STAMP.read_text().strip() == wanted:
        return ".venv is up to date"
    if not python.exists():
        try:
            _python([sys.executable, "-m", "venv", str(VENV)], "the environment .venv could not be made")
        except BaseException:
            shutil.rmtree(VENV, ignore_errors=True)  # half an environment would be taken for a whole one
            raise
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", ".[dev]"]
    _python(command, "Python's packages could not be installed into .venv")
    STAMP.write_text(wanted + "\n")
    return "installed into .venv"


def _python(argv: Sequence[str], trouble: str) -> None:
    result = subprocess.run(argv, capture_output=True, text=True, cwd=CHECKOUT, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        lines = [line.strip() for line in (result.stderr or result.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.upper().startswith("ERROR")]
        raise Failure(f"{trouble}: {(errors or lines or ['no reason given'])[-1]}")


if __name__ == "__main__":
    sys.exit(main())
