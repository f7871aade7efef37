"""What is changed or refused on the way in, after a request is authorized and before it is validated.

Plugins run in order, first all that change the object, then all that only judge it. They are coroutines:
a plugin may have to look something up (in a cache now, with a webhook later).
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from apimachinery import errors, meta
from apimachinery.types.objects import KubeObject
from apiserver import authorization
from apiserver.admission.metrics import timed
from apiserver.request import Attributes

T = TypeVar("T", bound=KubeObject)


class Plugin(Generic[T]):
    """One rule, about the objects of ``types``. What a plugin does not override costs nothing."""

    types: tuple[type[T], ...]
    name: ClassVar[str]
    """That of the class, as Kubernetes calls the plugin."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.name = cls.__name__

    async def admit(self, attributes: Attributes, obj: T, old: T | None) -> None:
        """Change ``obj``, which is the request's own, or raise an ApiError. ``old`` is None for creates."""

    async def validate(self, attributes: Attributes, obj: T, old: T | None) -> None:
        """Raise an ApiError if the finished object must not be written."""

    async def validate_delete(self, attributes: Attributes, old: T) -> None:
        """Raise an ApiError if the object must not be deleted."""

    async def validate_connect(self, attributes: Attributes) -> None:
        """Raise an ApiError if nobody may connect to the object by this path of it: logs, exec, ``proxy``."""


def denied(attributes: Attributes, obj: KubeObject, why: str) -> errors.Forbidden:
    """The refusal of a plugin, in Kubernetes' words."""
    return errors.forbidden(attributes.resource, attributes.group, meta.name_of(obj), why)


class _Plugins(NamedTuple):
    """Those of one type of objects, by what they do."""

    mutating: list[Plugin[Any]]
    validating: list[Plugin[Any]]
    guarding: list[Plugin[Any]]
    connecting: list[Plugin[Any]]


class Chain:
    """All plugins as one, and the authorizer for what a write turns out to be."""

    def __init__(self, authorizer: authorization.Union) -> None:
        self._authorizer = authorizer
        self._plugins: Sequence[Plugin[Any]] = ()
        self._by_type: dict[type[KubeObject], _Plugins] = {}

    def use(self, plugins: Sequence[Plugin[Any]]) -> None:
        """Ask these from now on, in this order."""
        self._plugins = plugins
        self._by_type.clear()

    async def authorize(self, attributes: Attributes) -> None:
        await self._authorizer.authorize(attributes)

    async def admit(self, attributes: Attributes, obj: KubeObject, old: KubeObject | None) -> None:
        for plugin in (self._by_type.get(type(obj)) or self._of_type(type(obj))).mutating:
            await timed(plugin.admit(attributes, obj, old), plugin.name, "admit", attributes)

    async def validate(self, attributes: Attributes, obj: KubeObject, old: KubeObject | None) -> None:
        for plugin in (self._by_type.get(type(obj)) or self._of_type(type(obj))).validating:
            await timed(plugin.validate(attributes, obj, old), plugin.name, "validate", attributes)

    async def validate_delete(self, attributes: Attributes, old: KubeObject) -> None:
        for plugin in (self._by_type.get(type(old)) or self._of_type(type(old))).guarding:
            await timed(plugin.validate_delete(attributes, old), plugin.name, "validate", attributes)

    async def validate_connect(self, attributes: Attributes, cls: type[KubeObject]) -> None:
        for plugin in (self._by_type.get(cls) or self._of_type(cls)).connecting:
            await plugin.validate_connect(attributes)

    def _of_type(self, cls: type[KubeObject]) -> _Plugins:
        about = [plugin for plugin in self._plugins if issubclass(cls, plugin.types)]
        plugins = self._by_type[cls] = _Plugins(
            [plugin for plugin in about if type(plugin).admit is not Plugin.admit],
            [plugin for plugin in about if type(plugin).validate is not Plugin.validate],
            [plugin for plugin in about if type(plugin).validate_delete is not Plugin.validate_delete],
            [plugin for plugin in about if type(plugin).validate_connect is not Plugin.validate_connect],
        )
        return plugins
