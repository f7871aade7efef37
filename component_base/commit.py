"""Which commit this is: that of the checkout, or what ``git archive`` or the build of a wheel has written below."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from apimachinery import meta

STAMP: Final = "$Format:%H %cI$"
"""Commit and time. ``.gitattributes`` has ``git archive`` replace it, ``setup.py`` does so in a wheel."""


class Commit(NamedTuple):
    """Empty texts where nothing is known: a copy of a checkout without its history, or without git."""

    id: str = ""
    date: str = ""
    """Of the commit, as ``metav1.Time``: the same sources have the same build date."""
    tree_state: str = ""
    """``clean``, ``dirty`` for a checkout with changes, ``archive`` for what git or a build has stamped."""


@cache
def commit() -> Commit:
    if not STAMP.startswith("$"):
        return _parsed(STAMP, "archive")
    stamp = _git("log", "-1", "--format=%H %cI")
    if not stamp:
        return Commit()
    return _parsed(stamp, "dirty" if _git("status", "--porcelain", "--untracked-files=no") else "clean")


def _parsed(stamp: str, tree_state: str) -> Commit:
    id, date = stamp.split()
    return Commit(id, meta.format_time(meta.parse_time(date)), tree_state)


def _git(*arguments: str) -> str:
    """The output of git, about this checkout whoever owns it; empty if there is none, or no git."""
    folder = Path(__file__).resolve().parents[1]
    if not folder.joinpath(".git").exists():  # git would take the checkout of something else around it
        return ""
    command = ["git", "-C", str(folder), "-c", f"safe.directory={folder}", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
