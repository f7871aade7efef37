"""The limit of open files."""

import subprocess
import sys

PROGRAM = """
import resource
from kube_proxy.limits import raise_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
print(raise_open_files(), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
"""


def test_as_many_files_as_the_host_allows() -> None:
    output = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout
    limit, hard = map(int, output.split())
    assert limit == hard > 100
