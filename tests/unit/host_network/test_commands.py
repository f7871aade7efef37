"""Running the host's commands."""

import pytest

from host_network.commands import CommandError, run


def test_a_command_reads_its_input_and_its_output_is_returned() -> None:
    assert run("cat", text="rules\n") == "rules\n"


def test_a_failure_names_the_command_and_contains_its_words() -> None:
    with pytest.raises(CommandError, match=r"sh -c echo no >&2; exit 3: no"):
        run("sh", "-c", "echo no >&2; exit 3")


def test_a_silent_failure_names_the_status() -> None:
    with pytest.raises(CommandError, match=r"false: exit status 1"):
        run("false")


def test_a_command_that_is_missing_is_named() -> None:
    with pytest.raises(CommandError, match=r"no-such-command: No such file"):
        run("no-such-command")


def test_a_command_that_does_not_end_is_ended() -> None:
    with pytest.raises(CommandError, match=r"sleep 60: ended after 0.1 s"):
        run("sleep", "60", seconds=0.1)
