"""What a back end for the node's rules must be able to do."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from kube_proxy.iptables.chains import Chain, RuleSet
from kube_proxy.iptables.rules import Rule


class TablesError(Exception):
    """The tables could not be read or changed: this host lacks them, or another program holds their lock."""


class RuleTables(Protocol):
    """The one owner of our chains. Everything of others stays as it is, and no chain is ever seen half filled."""

    async def rules(self) -> list[Rule]:
        """Every rule in our chains now."""
        ...

    async def apply(self, desired: RuleSet, *, verify: bool = True) -> int:
        """Make the tables contain ``desired``; how many steps that took.

        Without ``verify`` the tables may be trusted to be as the last call left them.

        Raises:
            TablesError: it could not be done now; trying again later is safe.
            UnsupportedRule: the back end cannot express a rule.
        """
        ...

    async def cleanup(self) -> int:
        """Remove all chains, rules and jumps of ours."""
        ...


Opener = Callable[[Sequence[Chain]], AbstractAsyncContextManager[RuleTables]]
"""Opens the tables for a mode's chains. Raises TablesError where the host lacks them or the mode's rules do not fit."""
