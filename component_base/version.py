"""The version that every daemon reports: that of the Kubernetes API it implements, marked as Peapod's."""

import platform
from typing import Final

from component_base.commit import commit

MAJOR: Final = "1"
MINOR: Final = "32"
GIT_VERSION: Final = "v1.32.0+peapod"


def version_info() -> dict[str, str]:
    """The document at ``/version``, in the form of Kubernetes' ``version.Info``."""
    known = commit()
    return {
        "major": MAJOR,
        "minor": MINOR,
        "gitVersion": GIT_VERSION,
        "gitCommit": known.id,
        "gitTreeState": known.tree_state,
        "buildDate": known.date,
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{platform.machine().replace('x86_64', 'amd64')}",
    }
