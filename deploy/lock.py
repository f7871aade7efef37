"""Update the lock to the newest versions that pyproject.toml allows: every package, direct or not, with its hashes.

``requirements/build.txt`` is for building Peapod and its source packages, ``runtime.txt`` for the daemons,
``development.txt`` for these and the tests. Each is valid for every Python that pyproject.toml names.
"""

import argparse
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
FOLDER = CHECKOUT / "requirements"
OLDEST_PYTHON = "3.11"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.lock", description=__doc__)
    parser.add_argument(
        "--lowest", metavar="FOLDER", help="instead, create an environment of the lowest versions allowed"
    )
    options = parser.parse_args()
    if options.lowest:
        return make_lowest(options.lowest)
    backend = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["build-system"]["requires"]
    compile_lock("build.txt", ["-"], stdin="\n".join(backend))
    compile_lock("runtime.txt", ["pyproject.toml"])
    # So that tests use the versions that the daemons run with.
    compile_lock("development.txt", ["pyproject.toml", "--extra", "dev", "--constraints", "requirements/runtime.txt"])
    print("The lock is up to date. Next: 'make check test', then commit requirements/.")
    return 0


def make_lowest(folder: str) -> int:
    """An environment with the lowest version of each direct dependency, and the newest compatible indirect ones."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", OLDEST_PYTHON, folder], cwd=CHECKOUT, check=True)
    install = [*uv, "pip", "install", "--quiet", "--python", f"{folder}/bin/python", "--resolution", "lowest-direct"]
    install.append("--compile-bytecode")  # as pip does; some packages warn when they are compiled
    subprocess.run([*install, "-e", ".[dev]"], cwd=CHECKOUT, check=True)
    print(f"The lowest versions are installed in {folder}. Next: {folder}/bin/python -m tests.run")
    return 0


def compile_lock(name: str, sources: Sequence[str], stdin: str = "") -> None:
    print(f"  requirements/{name}", flush=True)
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--upgrade", "--universal", "--generate-hashes"]
    options = ["--python-version", OLDEST_PYTHON, "--custom-compile-command", "make lock"]
    output = ["--output-file", str((FOLDER / name).relative_to(CHECKOUT))]
    subprocess.run([*command, *options, *output, *sources], cwd=CHECKOUT, input=stdin, text=True, check=True)


if __name__ == "__main__":
    sys.exit(main())
