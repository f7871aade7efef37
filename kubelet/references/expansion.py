"""``$(NAME)`` in commands, arguments and environment variables, as Kubernetes expands it. Pure.

A reference to an undefined name is left unchanged; ``$$(NAME)`` is the text ``$(NAME)``.
"""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:(\$)|\(([^)]*)\))")


def expand(text: str, *scopes: Mapping[str, str]) -> str:
    """``text`` with each reference replaced from the first scope that has the name."""

    def replace(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        for scope in scopes:
            if match[2] in scope:
                return scope[match[2]]
        return match[0]

    return _REFERENCE.sub(replace, text)
