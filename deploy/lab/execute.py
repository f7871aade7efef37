"""Run a program, and turn a failure into one sentence."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from deploy.lab.errors import LabError
from deploy.lab.packages import PATH

ENVIRONMENT = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"}


def program(name: str) -> str:
    """A program's absolute path; if it is not installed, where Debian would put it."""
    return shutil.which(name, path=PATH) or f"/usr/sbin/{name}"


def in_namespace(namespace: str, argv: Sequence[str]) -> list[str]:
    """The command line that runs ``argv`` inside a network namespace.

    Not ``ip netns exec``: that remounts /sys, which hides the cgroups from a container engine.
    """
    return [program("nsenter"), f"--net=/run/netns/{namespace}", "--", *argv]


def attempt(argv: Sequence[str], *, stdin: str | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a program and return its output and exit code. Raises LabError on a timeout (seconds)."""
    try:
        return subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=ENVIRONMENT,
            check=False,
            stdin=subprocess.DEVNULL if stdin is None else None,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"'{' '.join(argv)}' did not end within {timeout:g} s") from error
    except OSError as error:
        raise LabError(f"'{argv[0]}' cannot be run: {error.strerror}") from error


def run(argv: Sequence[str], *, stdin: str | None = None, timeout: float = 60) -> str:
    """The output of a program. Raises LabError, with the last line of its standard error, when it fails."""
    result = attempt(argv, stdin=stdin, timeout=timeout)
    if result.returncode != 0:
        raise LabError(f"'{' '.join(argv)}' failed: {last_line(result.stderr) or f'exit {result.returncode}'}")
    return result.stdout


def ip(*arguments: str) -> str:
    return run(["ip", *arguments])


def ip_batch(commands: Sequence[str], namespace: str | None = None) -> None:
    """Many ``ip`` commands in one process. Raises LabError with the first that failed."""
    where = ["-n", namespace] if namespace else []
    run(["ip", *where, "-batch", "-"], stdin="\n".join(commands) + "\n")


def ip_json(*arguments: str) -> list[dict[str, Any]]:
    output = ip("-json", *arguments)
    return list(json.loads(output)) if output.strip() else []


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
