"""The limit of open files."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from component_base import open_files
soft, hard, limit = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(open_files.raise_limit(limit or None), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def raised(soft: int, hard: int, limit: int) -> tuple[int, int, int]:
    command = [sys.executable, "-c", PROGRAM, str(soft), str(hard), str(limit)]
    returned, new_soft, new_hard = map(int, subprocess.run(command, check=True, capture_output=True).stdout.split())
    return returned, new_soft, new_hard


@pytest.mark.parametrize(
    ("soft", "limit", "expected"),
    [
        pytest.param(100, 0, 500, id="to the hard limit by default"),
        pytest.param(100, 300, 300, id="to the limit asked for"),
        pytest.param(400, 300, 400, id="never lowered"),
    ],
)
def test_a_limit_below_the_hard_one_is_raised(soft: int, limit: int, expected: int) -> None:
    assert raised(soft, 500, limit) == (expected, expected, 500)


def test_above_the_hard_limit_as_far_as_the_process_may() -> None:
    limit, soft, hard = raised(100, 500, 600)
    assert limit == soft == hard
    assert limit in (500, 600)  # 600 takes CAP_SYS_RESOURCE, which root may lack in a container
