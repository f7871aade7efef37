"""Install what is missing before anything else can run: Debian's packages, and the Python environment.

Uses only the machine's own Python and the standard library, since ``.venv`` may not exist yet. Installs only what is
missing, and does not leave a package's services running: the lab starts its own etcd and engines. On failure it prints
one sentence and exits with code 1.
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
    """The set-up cannot continue; the message is one sentence for the user."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m deploy.lab.bootstrap", description=__doc__)
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument(
        "--python-only", action="store_true", help="only create .venv, which needs neither root nor Debian packages"
    )
    scope.add_argument("--tests", action="store_true", help="also install what tests need: tcpdump, a registry, npm")
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
    """Raises Failure unless the tests run on this Python."""
    oldest, newest = (".".join(map(str, numbers)) for numbers in PYTHONS)
    running = ".".join(map(str, version))
    if version < PYTHONS[0]:
        raise Failure(f"Peapod needs Python {oldest} or newer, this is {running}; choose another with PYTHON=<program>")
    if version > PYTHONS[1]:
        raise Failure(
            f"Peapod is tested on Python {oldest} to {newest}, this is {running}; choose another with PYTHON=<program>"
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
        raise Failure(f"{names} are missing, and there is no apt-get to install them")
    if not all(set(packages) & _available(packages) for packages in absent):
        _apt(["apt-get", "update"])
    chosen = list(dict.fromkeys(first_available(packages, _available(packages)) for packages in absent))
    with services_held_back(chosen):
        # Never remove another package, such as a different container engine.
        install = ["apt-get", "install", "--yes", "--no-remove", "--no-install-recommends", *chosen]
        if _apt(install) != "" and ((trouble := _apt(["apt-get", "update"])) or (trouble := _apt(install))):
            raise Failure(f"{', '.join(chosen)} could not be installed from Debian's packages: {trouble}")
    return f"installed {', '.join(chosen)}"


def missing_packages(*, with_tests: bool) -> list[tuple[str, ...]]:
    """The packages to install; where several would do, all of them."""
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
    """The packages that apt can install."""
    result = subprocess.run(["apt-cache", "madison", *packages], capture_output=True, text=True)
    return {line.split("|")[0].strip() for line in result.stdout.splitlines()}


def _apt(argv: Sequence[str]) -> str:
    """Run apt-get. Returns an empty string, or its first error."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    result = subprocess.run(argv, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    if result.returncode == 0:
        return ""
    lines = [line for line in (result.stderr or result.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E:")]
    return (errors or lines or [f"{argv[1]} failed"])[0]


@contextmanager
def services_held_back(packages: Sequence[str]) -> Iterator[None]:
    """Keep the services of the packages from starting, now and at the next boot."""
    is_ours = not POLICY.exists()
    if is_ours:  # packages' scripts run it before they start a service; 101 forbids that
        POLICY.write_text("#!/bin/sh\n# Made by Peapod while it installs packages.\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if is_ours:
            POLICY.unlink(missing_ok=True)
        units = [unit for package in packages for unit in SERVICES.get(package, ())]
        if units and Path("/run/systemd/system").exists():
            subprocess.run(["systemctl", "disable", "--now", *units], capture_output=True, check=False)


def ensure_environment() -> str:
    """Create ``.venv`` with the project and the locked packages, unless it is up to date with the lock."""
    locked = sorted((CHECKOUT / "requirements").glob("*.txt"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in (CHECKOUT / "pyproject.toml", *locked))).hexdigest()
    python = VENV / "bin/python"
    if python.exists() and STAMP.exists() and STAMP.read_text().strip() == digest:
        return ".venv is up to date"
    if not python.exists():
        try:
            _python([sys.executable, "-m", "venv", str(VENV)], "the environment .venv could not be created")
        except BaseException:
            shutil.rmtree(VENV, ignore_errors=True)  # so that an incomplete environment is not used
            raise
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    trouble = "Python's packages could not be installed into .venv"
    # The packages that build the only source package are locked too, so nothing outside the lock is fetched.
    _python([*install, "--require-hashes", "-r", "requirements/build.txt"], trouble)
    _python([*install, "--no-build-isolation", "--require-hashes", "-r", "requirements/development.txt"], trouble)
    _python([*install, "--no-build-isolation", "--no-deps", "-e", "."], trouble)
    STAMP.write_text(digest + "\n")
    return "installed into .venv"


def _python(argv: Sequence[str], trouble: str) -> None:
    result = subprocess.run(argv, capture_output=True, text=True, cwd=CHECKOUT, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        lines = [line.strip() for line in (result.stderr or result.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.upper().startswith("ERROR")]
        raise Failure(f"{trouble}: {(errors or lines or ['no reason given'])[-1]}")


if __name__ == "__main__":
    sys.exit(main())
