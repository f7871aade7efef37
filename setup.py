"""Writes the commit into a wheel; everything else about the package is in pyproject.toml."""

import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

STAMP = "%H %cI"


class StampedBuild(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode or not Path(".git").exists():
            return
        commit = subprocess.run(["git", "log", "-1", f"--format={STAMP}"], capture_output=True, text=True, check=True)
        module = Path(self.build_lib, "component_base", "commit.py")
        module.write_text(module.read_text().replace(f"$Format:{STAMP}$", commit.stdout.strip()))


setup(cmdclass={"build_py": StampedBuild})
