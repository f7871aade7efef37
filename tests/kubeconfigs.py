"""Kubeconfigs of a server that nobody asks, for tests of what a daemon does before it asks."""

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml


def write_kubeconfig(path: Path, user: Mapping[str, str] | None = None) -> Path:
    entries = {
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "test", "user": dict(user or {})}],
    }
    path.write_text(yaml.safe_dump({"current-context": "test", **entries}))
    return path


@cache
def kubeconfig_flag() -> str:
    """``--kubeconfig`` with one that can be used."""
    return f"--kubeconfig={write_kubeconfig(Path(tempfile.mkdtemp(prefix='peapod-test-')) / 'kubeconfig')}"
