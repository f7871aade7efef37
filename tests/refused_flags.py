"""What a daemon says of flags that it refuses, on the command line and in its configuration file."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from component_base.flags import Options, parse


def refusal(options: type[Options], flags: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which these flags end a start; the exit status is 2."""
    with pytest.raises(SystemExit) as ended:
        parse(options, "daemon", argv=flags)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


def as_file(flags: Sequence[str], folder: Path) -> list[str]:
    """The same settings from a configuration file in ``folder``."""
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(dict(flag.removeprefix("--").split("=", 1) for flag in flags)))
    return [f"--config={config}"]
