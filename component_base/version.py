"""The version that every daemon reports: that of the Kubernetes API it implements, marked as Peapod's."""

import platform
from typing import Final

MAJOR: Final = "1"
MINOR: Final = "32"
GIT_VERSION: Final = "v1.32.0+peapod"

VERSION: Final = {
    "major": MAJOR,
    "minor": MINOR,
    "gitVersion": GIT_VERSION,
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": f"python{platform.python_version()}",
    "compiler": platform.python_implementation().lower(),
    "platform": f"{platform.system().lower()}/{platform.machine().replace('x86_64', 'amd64')}",
}
