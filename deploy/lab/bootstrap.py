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

from deploy.lab.packages import LAB, TESTS, TOUR, first_available, missing

CHECKOUT = Path(__file__).resolve().parents[2]
VENV = CHECKOUT / os.environ.get("PEAPOD_VENV", ".venv")
STAMP = VENV / "installed-for"
POLICY = Path("/usr/sbin/policy-rc.d")
PYTHONS = ((3, 11), (3, 13))
"""The oldest and the newest Python that the tests run on."""

SERVICES = {
    "docker.io": ("docker.service", "docker.socket", "containerd.service"),
    "etcd-server": ("etcd.service",),
    "docker-registry": ("docker-registry.service",),
}
"""The units that these packages start and enable when they are installed."""


class Failure(Exception):
    """One sentence for the person; nothing more can be done here."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m deploy.lab.bootstrap", description=__doc__)
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument(
        "--python-only", action="store_true", help="only .venv, which needs neither root nor the lab's packages"
    )
    scope.add_argument("--tests", action="store_true", help="also what the tests run: tcpdump, a registry, npm")
    options = parser.parse_args()
    try:
        check_python(sys.version_info[:2])
        if not options.python_only:
            if os.geteuid() != 0:
                raise Failure("the lab needs root (network namespaces, container engines): run it as root or with sudo")
            _report("packages", lambda: ensure_packages(with_tests=options.tests))
        _report("python", ensure_environment)
    except Failure as failure:
        print(f"\npeapod: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def check_python(version: tuple[int, ...]) -> None:
    """Raises Failure for a Python that is too old; says so of one that is newer than the tests know."""
    oldest, newest = (".".join(map(str, numbers)) for numbers in PYTHONS)
    running = ".".join(map(str, version))
    if version < PYTHONS[0]:
        raise Failure(f"Peapod needs Python {oldest} or newer, this is {running}; PYTHON=<program> names another one")
    if version > PYTHONS[1]:
        raise Failure(
            f"Peapod is tested on Python {oldest} to {newest}, this is {running}; PYTHON=<program> names another"
        )


def _report(name: str, action: Callable[[], str]) -> None:
    began = time.monotonic()
    print(f"  {name:<22}", end="", flush=True)
    detail = action()
    print(f"{detail:<60} {time.monotonic() - began:6.1f} s", flush=True)


def ensure_packages(*, with_tests: bool) -> str:
    absent = missing_packages(with_tests=with_tests)
    if not absent:
        return "all present"
    if shutil.which("apt-get") is None:
        names = ", ".join(packages[0] for packages in absent)
        raise Failure(f"{names} are missing, and there is no apt-get here to install them with")
    if not all(set(packages) & _available(packages) for packages in absent):
        _apt(["apt-get", "update"])
    chosen = list(dict.fromkeys(first_available(packages, _available(packages)) for packages in absent))
    with services_held_back(chosen):
        # Never at the price of another package, such as a container engine from elsewhere.
        install = ["apt-get", "install", "--yes", "--no-remove", "--no-install-recommends", *chosen]
        if _apt(install) != "" and ((trouble := _apt(["apt-get", "update"])) or (trouble := _apt(install))):
            raise Failure(f"{', '.join(chosen)} could not be installed from Debian's packages: {trouble}")
    return f"installed {', '.join(chosen)}"


def missing_packages(*, with_tests: bool) -> list[tuple[str, ...]]:
    """What is to be installed: for each, the packages of which one will do."""
    absent = [*missing(LAB).values(), *missing(TOUR, path=None).values()]
    if with_tests:
        absent += missing(TESTS, path=None).values()
    if not Path("/usr/include/stdio.h").exists():
        absent.append(("libc6-dev",))
    if not VENV.exists() and subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True).returncode:
        absent.append(("python3-venv",))
    if not Path(sysconfig.get_path("include"), "Python.h").exists():  # python-iptables comes as source
        absent.append(("python3-dev",))
    return absent


def _available(packages: Sequence[str]) -> set[str]:
    """Those of the packages that apt could install now."""
    result = subprocess.run(["apt-cache", "madison", *packages], capture_output=True, text=True)
    return {line.split("|")[0].strip() for line in result.stdout.splitlines()}


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
    """Make ``.venv`` and install the project into it, with the packages of the lock, unless that was done for this lock."""
    locked = sorted((CHECKOUT / "requirements").glob("*.txt"))
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in (CHECKOUT / "pyproject.toml", *locked))).hexdigest()
    python = VENV / "bin/python"
    if python.exists() and STAMP.exists() and STAMP.read_text().strip() == wanted:
        return ".venv is up to date"
    if not python.exists():
        try:
            _python([sys.executable, "-m", "venv", str(VENV)], "the environment .venv could not be made")
        except BaseException:
            shutil.rmtree(VENV, ignore_errors=True)  # half an environment would be taken for a whole one
            raise
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    trouble = "Python's packages could not be installed into .venv"
    # What builds the one source package is locked as well, so nothing is fetched that the lock does not name.
    _python([*install, "--require-hashes", "-r", "requirements/build.txt"], trouble)
    _python([*install, "--no-build-isolation", "--require-hashes", "-r", "requirements/development.txt"], trouble)
    _python([*install, "--no-build-isolation", "--no-deps", "-e", "."], trouble)
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
