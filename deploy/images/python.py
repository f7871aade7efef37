"""An image of one of our daemons, made from the Python that builds it and the packages installed there.

Two trees: the interpreter with its library, and the packages that the daemon's imports need. Packages are included
whole, so that late imports work too. Tests, tools and compiled copies are left out; there is no shell and no package
manager.
"""

import importlib.metadata
import json
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from deploy.images.archive import Entry
from deploy.images.host import BuildError, libraries, run

CHECKOUT = Path(__file__).resolve().parents[2]
_HOME = "srv/peapod"
"""Where all packages are in the image."""
_NAME = f"python{sys.version_info.major}.{sys.version_info.minor}"
_EXTRA_LIBRARIES = "usr/lib/peapod"
"""For libraries from outside of the host's system folders, such as libpython of a Python built by hand."""
ENVIRONMENT = (f"PYTHONPATH=/{_HOME}", f"LD_LIBRARY_PATH=/{_EXTRA_LIBRARIES}", "PYTHONDONTWRITEBYTECODE=1")

_LEFT_OUT = re.compile(
    r"__pycache__|tests?|idlelib|tkinter|turtle(demo|\.py)|ensurepip|lib2to3|pydoc_data|venv|config-.+|"
    r"(site|dist)-packages|_test\w+\..+|_ctypes_test.+|_xxtestfuzz.+|xxlimited.+|_tkinter.+|distutils|"
    r".+\.(c|h|a|pyx|pxd|pxi|pyi)"
)
"""Names of files and folders, at any depth."""

# Prints the top-level packages outside the standard library that importing a module brings in.
_PROBE = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names)))
"""
_PROJECT = "peapod"
_ELF = b"\x7fELF"
_REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")


def interpreter_tree() -> list[Entry]:
    """``/usr/bin/python3`` and its library, with the shared libraries of both. Raises BuildError."""
    program, library = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))
    entries = [
        Entry(f"usr/bin/{_NAME}", program.read_bytes()),
        Entry("usr/bin/python3", target=_NAME, mode=0o777),
        *_files(library, f"usr/lib/{_NAME}"),
    ]
    extensions = [path for path in library.rglob("*.so") if not _is_left_out(path.relative_to(library).parts)]
    return _stripped([*entries, *_shared_libraries([program, *extensions])])


def daemon_tree(package: str) -> list[Entry]:
    """One of our packages and its dependencies, for a layer above the interpreter's tree. Raises BuildError."""
    imported = _imported(f"{package}.__main__")
    packages = [CHECKOUT / name for name in imported if (CHECKOUT / name / "__init__.py").is_file()]
    entries = [entry for folder in packages for entry in _files(folder, f"{_HOME}/{folder.name}")]
    extensions = []
    for distribution in _needed(imported):
        for file in distribution.files or ():
            path = Path(str(file.locate()))
            if ".." not in file.parts and not _is_left_out(file.parts) and path.is_file():
                entries.append(_file(path, f"{_HOME}/{file}"))
                extensions += [path] if ".so" in path.suffixes else []
    return _stripped([*entries, *_shared_libraries(extensions)])


def _imported(module: str) -> list[str]:
    call = [sys.executable, "-c", _PROBE, module]
    result = subprocess.run(call, capture_output=True, text=True, cwd=CHECKOUT, check=False)
    if result.returncode != 0:
        words = result.stderr.strip().splitlines() or [f"exit {result.returncode}"]
        raise BuildError(f"{module} cannot be imported: {words[-1]}")
    names: list[str] = json.loads(result.stdout)
    return names


def _needed(imported: Iterable[str]) -> list[importlib.metadata.Distribution]:
    """The imported distributions that the project requires, with their own requirements.

    An import alone is no reason: some packages import optional ones that happen to be installed.
    """
    owners = importlib.metadata.packages_distributions()
    names = {_plain(owner) for name in imported for owner in owners.get(name, ())}
    required = _closure(_requirements(importlib.metadata.distribution(_PROJECT)))
    needed = _closure(names & required.keys())
    return [needed[name] for name in sorted(needed)]


def _closure(names: Iterable[str]) -> dict[str, importlib.metadata.Distribution]:
    """Installed distributions of these names, with all that they require."""
    waiting, distributions = [*names], dict[str, importlib.metadata.Distribution]()
    while waiting:
        name = waiting.pop()
        if name in distributions:
            continue
        with suppress(importlib.metadata.PackageNotFoundError):  # for another platform or another Python
            distributions[name] = importlib.metadata.distribution(name)
            waiting += _requirements(distributions[name])
    return distributions


def _requirements(distribution: importlib.metadata.Distribution) -> list[str]:
    """The names that a distribution requires, extras left out."""
    lines = [line for line in distribution.requires or () if "extra ==" not in line]
    return [_plain(match[0]) for line in lines if (match := _REQUIREMENT.match(line))]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _files(folder: Path, target: str) -> Iterator[Entry]:
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if path.is_file() and not _is_left_out(relative.parts):
            yield _file(path, f"{target}/{relative}")


def _file(path: Path, target: str) -> Entry:
    return Entry(target, path.read_bytes(), mode=0o755 if ".so" in path.suffixes else 0o644)


def _is_left_out(parts: Iterable[str]) -> bool:
    return any(_LEFT_OUT.fullmatch(part) for part in parts)


def _shared_libraries(programs: Iterable[Path]) -> Iterator[Entry]:
    """The libraries that programs are linked with, except those that are among a package's own files."""
    for path in dict.fromkeys(libraries(*programs)):
        if "site-packages" in path.parts:
            continue
        is_system_s = path.is_relative_to("/lib") or path.is_relative_to("/usr/lib") or path.is_relative_to("/lib64")
        target = str(path).lstrip("/") if is_system_s else f"{_EXTRA_LIBRARIES}/{path.name}"
        yield Entry(target, path.read_bytes())


def _stripped(entries: Sequence[Entry]) -> list[Entry]:
    """The entries without debug symbols, which make up most of a locally compiled library."""
    stripped = [*entries]
    with tempfile.TemporaryDirectory() as folder:
        programs = {}
        for number, entry in enumerate(stripped):
            if entry.data is not None and entry.data.startswith(_ELF):
                programs[number] = Path(folder, str(number))
                programs[number].write_bytes(entry.data)
        run(["strip", "--strip-unneeded", *map(str, programs.values())])
        for number, path in programs.items():
            stripped[number] = replace(stripped[number], data=path.read_bytes())
    return stripped
