"""The one place that runs the host's network commands. Blocks: call it in a thread."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

LOCK_PATIENCE = 5
"""Seconds that an iptables command waits for another one to finish."""
_SECONDS = 30
_RULES_SECONDS = 120
"""How long a command may take, and one that reads or writes a whole table of rules. It is ended then: whoever waits for
it owns the host's network, and has more to do."""


class CommandError(Exception):
    """A command could not be run or failed; the message names it and contains its own words."""


def run(*command: str, text: str = "", seconds: float = _SECONDS) -> str:
    """Run a command with ``text`` as its input, for no longer than ``seconds``; its output.

    Raises:
        CommandError
    """
    try:
        ended = subprocess.run(command, input=text, capture_output=True, text=True, errors="replace", timeout=seconds)
    except OSError as exc:
        raise CommandError(f"{command[0]}: {exc.strerror}") from exc
    except subprocess.TimeoutExpired as exc:
        raise CommandError(f"{' '.join(command)}: ended after {seconds:g} s") from exc
    if ended.returncode:
        raise CommandError(f"{' '.join(command)}: {ended.stderr.strip() or f'exit status {ended.returncode}'}")
    return ended.stdout


def ip(*arguments: str) -> str:
    return run("ip", *arguments)


def ip_json(*arguments: str) -> list[dict[str, Any]]:
    """What ``ip -json`` lists."""
    entries: list[dict[str, Any]] = json.loads(ip("-json", *arguments) or "[]")
    return [entry for entry in entries if entry]  # ip prints an empty object for a link that it filtered out


def iptables(*arguments: str) -> str:
    """Through the back end that the host's own command has, which is the container engine's too."""
    return run("iptables", "-w", str(LOCK_PATIENCE), *arguments)


def iptables_save(command: str, table: str) -> str:
    """One table as ``<command>-save`` prints it; ``command`` names a back end, such as ``iptables-nft``."""
    return run(f"{command}-save", "-t", table, seconds=_RULES_SECONDS)


def iptables_restore(command: str, text: str) -> None:
    """Commit ``text``; chains that it does not name stay as they are."""
    run(f"{command}-restore", "--noflush", "-w", str(LOCK_PATIENCE), text=text, seconds=_RULES_SECONDS)


def ipset_save() -> str:
    """All address sets and their members."""
    return run("ipset", "save", seconds=_RULES_SECONDS)


def ipset_restore(lines: Sequence[str]) -> None:
    """Carry out ``lines`` in order; those after one that fails are not."""
    run("ipset", "restore", text="".join(f"{line}\n" for line in lines), seconds=_RULES_SECONDS)
