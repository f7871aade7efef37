"""Limits of the machine that are too low for its pods."""

from pathlib import Path

import pytest

from kubelet.node.limits import Limits, read_limits, shortages

ENOUGH = Limits(1_048_576, 8192, 524_288)


@pytest.mark.parametrize(
    ("limits", "reasons"),
    [
        (ENOUGH, []),
        (Limits(-1, -1, -1), []),  # no limit at all
        (Limits(1024, 8192, 524_288), ["LowOpenFilesLimit"]),
        (Limits(1_048_576, 64, 524_288), ["LowInotifyLimit"]),
        (Limits(1_048_576, 8192, 100), ["LowInotifyLimit"]),
    ],
)
def test_what_is_too_low_for_so_many_pods(limits: Limits, reasons: list[str]) -> None:
    assert [reason for reason, _ in shortages(limits, pods=110)] == reasons


def test_the_message_names_the_limit_and_what_is_needed() -> None:
    ((_, message),) = shortages(Limits(1_048_576, 64, 524_288), pods=110)
    assert message.startswith("The limit of fs.inotify.max_user_instances is 64; 110 pods may need 119. Raise it")


def test_fewer_pods_need_less() -> None:
    assert shortages(Limits(1024, 128, 524_288), pods=30) == []


def test_the_kernel_s_limits_are_read(tmp_path: Path) -> None:
    inotify = tmp_path / "sys/fs/inotify"
    inotify.mkdir(parents=True)
    inotify.joinpath("max_user_instances").write_text("128\n")
    limits = read_limits(tmp_path)
    assert (limits.inotify_instances, limits.inotify_watches) == (128, -1)
    assert limits.open_files != 0
