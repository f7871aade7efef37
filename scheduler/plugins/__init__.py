"""Which plugins there are: the built-in ones, one module each, and those of installed packages."""

from collections.abc import Collection, Mapping
from importlib import metadata
from typing import Any, Final

from scheduler.framework import Bind, Factory, Filter, Handle, Plugin, PreBind, Score
from scheduler.plugins.balanced_allocation import BalancedAllocation
from scheduler.plugins.default_binder import DefaultBinder
from scheduler.plugins.least_allocated import LeastAllocated
from scheduler.plugins.node_affinity import NodeAffinity
from scheduler.plugins.node_name import NodeName
from scheduler.plugins.node_ports import NodePorts
from scheduler.plugins.node_resources_fit import NodeResourcesFit
from scheduler.plugins.node_unschedulable import NodeUnschedulable
from scheduler.plugins.selector_spread import SelectorSpread
from scheduler.plugins.taint_toleration import TaintToleration
from scheduler.plugins.volume_binding import VolumeBinding

BUILTIN: Final = (
    NodeUnschedulable,
    NodeName,
    TaintToleration,
    NodeAffinity,
    NodePorts,
    NodeResourcesFit,
    VolumeBinding,
    LeastAllocated,
    BalancedAllocation,
    SelectorSpread,
    DefaultBinder,
)
"""Filters come in the order in which they run: cheap and selective ones first."""

ENTRY_POINTS: Final = "peapod.scheduler_plugins"
"""The entry-point group of installed packages' plugins; one with the name of a built-in plugin replaces it."""

MAX_WEIGHT: Final = 2**31 - 1
"""Keeps sums of weighted scores within 64 bits."""


def factories(disabled: Collection[str] = ()) -> dict[str, Factory]:
    """The factories of all plugins by name, without the disabled ones.

    Raises:
        ValueError: a disabled plugin does not exist.
    """
    result: dict[str, Any] = {plugin.name: plugin for plugin in BUILTIN}
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        result[entry.name] = entry.load()
    for name in disabled:
        if result.pop(name, None) is None:
            raise ValueError(f"there is no plugin {name!r}")
    return result


def load(handle: Handle, disabled: Collection[str] = ()) -> list[Plugin]:
    """The plugins, made with the handle.

    Raises:
        ValueError: a disabled plugin does not exist, or an installed one has no extension point.
    """
    plugins: list[Plugin] = []
    for name, factory in factories(disabled).items():
        plugin = factory(handle)
        if not isinstance(plugin, Filter | Score | PreBind | Bind):
            raise ValueError(f"plugin {name!r} has no extension point")
        plugins.append(plugin)
    return plugins


def check_selection(disabled: Collection[str], weights: Mapping[str, int]) -> None:
    """For the daemon's options: raises ValueError, naming the flag, for a name or weight that cannot be.

    What a factory that is not a class makes is known only when it is called: it is not checked here.
    """
    try:
        enabled = factories(disabled)
    except ValueError as exc:
        raise ValueError(f"--disabled-plugins: {exc}") from exc
    if not any(_may_have(factory, "bind") for factory in enabled.values()):
        raise ValueError("--disabled-plugins: no plugin that binds is left")
    for name, weight in weights.items():
        if name not in enabled:
            raise ValueError(f"--plugin-weights: there is no plugin {name!r}, or it is disabled")
        if not _may_have(enabled[name], "score"):
            raise ValueError(f"--plugin-weights: {name} does not score")
        if not 0 <= weight <= MAX_WEIGHT:
            raise ValueError(f"--plugin-weights: {name}: {weight} is not between 0 and {MAX_WEIGHT}")


def _may_have(factory: Factory, extension_point: str) -> bool:
    return not isinstance(factory, type) or hasattr(factory, extension_point)
