"""A warning to whoever writes a network policy that some nodes do not enforce.

The server cannot know what the nodes' hosts can do: each node's proxy says so with a condition of the Node. A cluster
without nodes enforces what there is to enforce.
"""

from typing import Final

from apimachinery import meta
from apimachinery.core import nodes
from apimachinery.core.well_known import NETWORK_POLICY_CONDITION
from apimachinery.types.core_v1 import Node
from apimachinery.types.networking_v1 import NetworkPolicy

NAMED: Final = 3
"""Nodes that a warning names."""
MESSAGE_LIMIT: Final = 200
