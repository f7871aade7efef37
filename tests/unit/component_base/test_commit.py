"""The commit that /version tells, in a checkout, an archive and a wheel."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
SHOW = "from component_base.commit import commit; print(*commit())"


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", CHECKOUT, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def shown(folder: Path) -> list[str]:
    command = [sys.executable, "-c", SHOW]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture
def head() -> str:
    return git("rev-parse", "HEAD")


def test_a_checkout_asks_git(head: str) -> None:
    id, date, state = shown(CHECKOUT)
    assert (id, date[-1]) == (head, "Z")
    assert state in ("clean", "dirty")


def test_an_archive_has_it_written_in(head: str, tmp_path: Path) -> None:
    archive = tmp_path / "archive.zip"
    git("archive", "--worktree-attributes", f"--output={archive}", "HEAD", "component_base", "apimachinery")
    with zipfile.ZipFile(archive) as files:
        files.extractall(tmp_path / "sources")
    id, date, state = shown(tmp_path / "sources")
    assert (id, date[-1], state) == (head, "Z", "archive")


def test_a_mere_copy_knows_nothing(tmp_path: Path) -> None:
    for package in ("component_base", "apimachinery"):
        (tmp_path / package).symlink_to(CHECKOUT / package)
    (tmp_path / "component_base").unlink()
    (tmp_path / "component_base").mkdir()
    (tmp_path / "component_base/commit.py").write_text((CHECKOUT / "component_base/commit.py").read_text())
    assert shown(tmp_path) == []
