"""What is changed or refused on the way in, after a request is authorized and before it is validated.

Plugins run in order, first all that change the object, then all that only judge it. They are coroutines:
one of them may have to ask somebody (a cache now, a webhook later).
"""

from collections.abc import Sequence
from typing import Any

from apiserver.request import Attributes


class Plugin:
    """One rule. Both hooks see every write; a plugin begins by asking whether it is meant."""

    async def admit(self, attributes: Attributes, obj: Any | None, old: Any | None) -> None:
        """Change ``obj`` (the request's own; None for deletes), or raise an ApiError."""

    async def validate(self, attributes: Attributes, obj: Any | None, old: Any | None) -> None:
        """Raise an ApiError if the finished object must not be written."""


class Chain(Plugin):
    """All plugins as one."""

    def __init__(self) -> None:
        self._mutating: list[Plugin] = []
        self._validating: list[Plugin] = []

    def use(self, plugins: Sequence[Plugin]) -> None:
        """Ask these from now on, in this order."""
        self._mutating = [one for one in plugins if type(one).admit is not Plugin.admit]
        self._validating = [one for one in plugins if type(one).validate is not Plugin.validate]

    async def admit(self, attributes: Attributes, obj: Any | None, old: Any | None) -> None:
        for plugin in self._mutating:
            await plugin.admit(attributes, obj, old)

    async def validate(self, attributes: Attributes, obj: Any | None, old: Any | None) -> None:
        for plugin in self._validating:
            await plugin.validate(attributes, obj, old)
