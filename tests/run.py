"""All tests: ``python -m tests.run``. Groups that do not disturb each other run in parallel; tests mostly wait.

Each group is a separate pytest, whose output goes to a file. Progress is printed while they run, and every failure at
the end. No test is run a second time.
"""

import argparse
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

CHECKOUT = Path(__file__).resolve().parents[1]
MINUTES = 20
"""Approximate duration on two cores, printed at the start."""
REPORT_EVERY = 30.0
"""Seconds between two lines of progress."""

GROUPS: Mapping[str, Sequence[str]] = {
    "unit": ("tests/unit",),
    "api": (
        "tests/integration/apimachinery",
        "tests/integration/apiserver",
        "tests/integration/storage",
        "tests/integration/scheduler",
        "tests/integration/controller_manager",
    ),
    "kubelet": ("tests/integration/kubelet",),
    "network": ("tests/integration/kube_dns", "tests/integration/kube_proxy"),
    "e2e": ("tests/e2e",),
}

LANES: Sequence[Sequence[str]] = (("unit", "api", "network"), ("kubelet", "e2e"))
"""Lanes run side by side, the groups of a lane one after the other. Two, as for two cores: with a third one tests would
miss the times within which they wait for something.
"""

_COLLECTED = re.compile(r"collected (\d+) items?")
_OUTCOME = re.compile(r" (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) +\[ *\d+%\]")
_SUMMARY = re.compile(r"^=+ (.*) in [\d.]+s.*=+$", re.M)
_COUNT = re.compile(r"(\d+) (passed|failed|error|errors|skipped)")


@dataclass
class Group:
    """One pytest, running or finished."""

    name: str
    paths: Sequence[str]
    folder: Path
    began: float = 0.0
    seconds: float = 0.0
    _process: subprocess.Popen[bytes] | None = None
    _output: IO[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        self.began = time.monotonic()
        self._output = self.log.open("wb")
        command = [sys.executable, "-m", "pytest", "-v", "--color=no", "-p", "no:cacheprovider", *self.paths]
        self._process = subprocess.Popen(command, cwd=CHECKOUT, stdout=self._output, stderr=subprocess.STDOUT)

    def ended(self) -> bool:
        assert self._process is not None
        if self._process.poll() is None:
            return False
        self.seconds = self.seconds or time.monotonic() - self.began
        return True

    @property
    def passed(self) -> bool:
        return self._process is not None and self._process.returncode == 0

    def stop(self) -> None:
        """Send SIGINT, so that fixtures clean up."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()

    def progress(self) -> str:
        text = self.log.read_text(errors="replace")
        total = _COLLECTED.search(text)
        outcomes = _OUTCOME.findall(text)
        failed = sum(outcome in ("FAILED", "ERROR") for outcome in outcomes)
        return f"{self.name} {len(outcomes)}/{total[1] if total else '?'}" + (f" ({failed} failed)" if failed else "")

    def counts(self) -> dict[str, int]:
        summary = _SUMMARY.findall(self.log.read_text(errors="replace"))
        return {word.removesuffix("s"): int(number) for number, word in _COUNT.findall(summary[-1])} if summary else {}

    def report(self) -> str:
        """Failures and the rest of pytest's report."""
        text = self.log.read_text(errors="replace")
        start = re.search(r"^=+ (ERRORS|FAILURES|warnings summary|short test summary info) =+$", text, re.M)
        return text[start.start() :] if start else text[-4000:]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.run", description=__doc__)
    parser.add_argument(
        "groups", nargs="*", choices=[*GROUPS, []], metavar="GROUP", help=f"only these: {', '.join(GROUPS)}"
    )
    chosen = parser.parse_args().groups or [*GROUPS]
    began = time.monotonic()
    if len(chosen) == len(GROUPS):
        print(f"All tests, about {MINUTES} minutes on two cores.", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="peapod-tests-"))
    groups = {name: Group(name, GROUPS[name], folder) for name in GROUPS if name in chosen}
    run([[groups[name] for name in lane if name in groups] for lane in LANES], began)
    return summarize([*groups.values()], folder)


def run(lanes: Sequence[Sequence[Group]], began: float) -> None:
    """Run lanes side by side until all have ended, and say every now and then how far they are."""
    waiting = [list(lane) for lane in lanes]
    running: list[Group | None] = [None] * len(lanes)
    next_report = time.monotonic() + REPORT_EVERY
    try:
        while any(waiting) or any(running):
            for n, group in enumerate(running):
                if group is None or group.ended():
                    running[n] = waiting[n].pop(0) if waiting[n] else None
                    if (following := running[n]) is not None:
                        following.start()
            if time.monotonic() >= next_report:
                next_report += REPORT_EVERY
                minutes, seconds = divmod(int(time.monotonic() - began), 60)
                progress = ", ".join(group.progress() for group in running if group is not None)
                print(f"  {minutes:3d}:{seconds:02d}  {progress}", flush=True)
            time.sleep(0.2)
    finally:
        for group in running:
            if group is not None:
                group.stop()


def summarize(groups: Sequence[Group], folder: Path) -> int:
    failed = [group for group in groups if not group.passed]
    for group in failed:
        print(f"\n==> {group.name}\n{group.report()}")
    for group in groups:
        outcome = "passed" if group.passed else "FAILED"
        print(f"  {group.name:<10} {outcome}, {group.progress().partition(' ')[2]} tests in {group.seconds:.0f} s")
    totals = {
        word: sum(group.counts().get(word, 0) for group in groups) for word in ("passed", "failed", "error", "skipped")
    }
    print(f"{totals['passed']} passed, {totals['failed'] + totals['error']} failed, {totals['skipped']} skipped")
    if failed:
        print(f"The whole output is in {folder}. To run one failed test: '.venv/bin/python -m pytest <its name>'.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
