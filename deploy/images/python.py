"""An image of one of our daemons, from the Python and the installed packages that run this very build.

Holds the interpreter, its library, and of the packages exactly those that the daemon's own imports need, each whole:
what is imported late, in a case that no start meets, is there as well. Leaves out tests, tools and compiled copies.
No shell, no package manager.
"""

import importlib.metadata
import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from deploy.images.archive import Entry
from deploy.images.errors import BuildError
from deploy.images.libraries import libraries

CHECKOUT = Path(__file__).resolve().parents[2]
HOME = "srv/peapod"
"""Where packages are in the image, ours and others'."""
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_LIBRARY = f"usr/lib/{_VERSION}"
_OWN_LIBRARIES = "usr/lib/peapod"
"""Shared libraries that the host keeps outside of the system's folders, such as libpython of a Python made by hand."""
ENVIRONMENT = (f"PYTHONPATH=/{HOME}", f"LD_LIBRARY_PATH=/{_OWN_LIBRARIES}", "PYTHONUNBUFFERED=1")

_NOT_AT_RUN_TIME = frozenset(
    "__pycache__ test tests idlelib tkinter turtledemo turtle.py ensurepip lib2to3 pydoc_data venv distutils "
    "site-packages dist-packages".split()
)
_NOT_WANTED = re.compile(r"config-\d|_test|_ctypes_test|_xxtestfuzz|_tkinter|xxlimited")
_PROBE = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
files = {name.partition(".")[0]: getattr(module, "__file__", None) for name, module in sys.modules.items()}
print(json.dumps([name for name in files if name not in sys.stdlib_module_names]))
"""


def daemon_tree(package: str) -> list[Entry]:
    """All files of the image whose command is ``python3 -m package``. Raises BuildError."""
    imported = _imported(f"{package}.__main__")
    ours = [CHECKOUT / name for name in imported if (CHECKOUT / name / "__init__.py").is_file()]
    if CHECKOUT / package not in ours:
        raise BuildError(f"{package} is not imported from {CHECKOUT}")
    entries = list(_interpreter())
    for folder in ours:
        entries += _files(folder, f"{HOME}/{folder.name}", "*.py")
    for name in sorted(_needed(imported)):
        entries += _distribution(name)
    programs = [Path(sys.executable).resolve(), *(Path(one) for one in _shared_objects())]
    return [*entries, *_shared_libraries(programs)]


def _imported(module: str) -> list[str]:
    """The packages that a module imports, as a fresh interpreter sees it."""
    call = [sys.executable, "-c", _PROBE, module]
    result = subprocess.run(call, capture_output=True, text=True, cwd=CHECKOUT, check=False)
    if result.returncode != 0:
        raise BuildError(f"{module} cannot be imported: {result.stderr.strip().splitlines()[-1:]}")
    found: list[str] = json.loads(result.stdout)
    return sorted(found)
