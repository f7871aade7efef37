"""The one owner of the policies' rules and address sets in this host's kernel. Blocks: call it in a thread.

Promises: the rules change in one commit. Nothing is denied in between that neither the old nor the new policies deny:
sets are filled before rules use them, and a pod is isolated after its rules are there and released before they go. What
an earlier run left is taken over. Without ``verify`` the kernel is trusted to be as it was left.
"""

import logging
from pathlib import Path

from host_network import commands
from host_network.commands import CommandError
from kube_proxy.dataplane.messages import Policies
from kube_proxy.network_policy.rules import (
    TABLE,
    Printed,
    Sets,
    address_sets,
    after_rules,
    before_rules,
    chain_rules,
    parse_sets,
    parse_table,
    removal,
    restore_input,
)

log = logging.getLogger(__name__)

COMMANDS = ("iptables", "iptables-nft", "iptables-legacy")
"""Commands through which an earlier run may have written."""
BRIDGED = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
NOTHING = Policies({"ingress": frozenset(), "egress": frozenset()}, frozenset(), {}, {}, ())


class Kernel:
    def __init__(self, command: str = "iptables") -> None:
        """``command`` names the back end: ``iptables`` or, for certain tables, ``iptables-nft`` ..."""
        self._command = command
        self._sets: Sets | None = None
        """As they are in the kernel; None if unknown."""
        self._rules: list[str] | None = None
        self._printed: Printed | None = None
        """How the command prints ``_rules``."""

    def check(self) -> None:
        """Find out whether this host can enforce policies at all.

        Raises:
            CommandError: why not.
        """
        show_bridged_packets()
        printed = self._print()
        if not printed.chains:
            _restore_sets(before_rules(self._read_sets(), address_sets(NOTHING)))
            commands.iptables_restore(self._command, restore_input(chain_rules(NOTHING), jump=False))
            self.cleanup()

    def apply(self, policies: Policies | None, *, verify: bool = True) -> int:
        """Have the kernel enforce exactly these policies; how many steps that took.

        Raises:
            CommandError: not all of it is in place; trying again is safe.
        """
        if policies is None:
            return self.cleanup() if verify or self._rules is not None else 0
        wanted, rules = address_sets(policies), chain_rules(policies)
        have = self._sets if self._sets is not None and not verify else self._read_sets()
        self._sets = None
        lines = before_rules(have, wanted)
        _restore_sets(lines)
        steps = len(lines) + self._apply_rules(rules, verify=verify)
        lines = after_rules(have, wanted)
        _restore_sets(lines)
        self._sets = wanted
        return steps + len(lines)

    def cleanup(self) -> int:
        """Remove everything of ours. Raises CommandError."""
        self._sets = self._rules = self._printed = None
        printed = self._print()
        if printed.chains:
            commands.iptables_restore(self._command, removal(printed))
        return len(printed.chains) + self._destroy_sets()

    def _apply_rules(self, rules: list[str], *, verify: bool) -> int:
        jump = False
        if verify or self._rules is None:
            show_bridged_packets()
            printed = self._print()
            if rules == self._rules and printed == self._printed:
                return 0
            jump = not printed.jumps
        elif rules == self._rules:
            return 0
        self._rules = None
        commands.iptables_restore(self._command, restore_input(rules, jump=jump))
        self._printed = self._print()
        self._rules = rules
        return len(rules)

    def _print(self) -> Printed:
        return parse_table(commands.iptables_save(self._command, TABLE))

    def _read_sets(self) -> Sets:
        return parse_sets(commands.ipset_save())

    def _destroy_sets(self) -> int:
        lines = [f"destroy {name}" for name in self._read_sets()]
        _restore_sets(lines)
        return len(lines)


def clean_up_everywhere() -> None:
    """Remove everything of ours, through whichever command it was made; hosts without one have nothing of it.

    Raises:
        CommandError: sets are left.
    """
    for command in COMMANDS:
        try:
            printed = parse_table(commands.iptables_save(command, TABLE))
            if printed.chains:
                commands.iptables_restore(command, removal(printed))
        except CommandError as exc:
            log.info("%s", exc)
    try:
        names = [*parse_sets(commands.ipset_save())]
    except CommandError as exc:
        log.info("%s", exc)
    else:
        _restore_sets([f"destroy {name}" for name in names])


def show_bridged_packets(setting: Path = BRIDGED) -> None:
    """Have the kernel show netfilter what passes between two pods on one bridge.

    Raises:
        CommandError: it cannot.
    """
    fault = "traffic within the pods' bridge cannot be filtered"
    if not setting.exists():
        raise CommandError(f"{fault}: the kernel module br_netfilter is not loaded")
    try:
        if setting.read_text().strip() != "1":
            setting.write_text("1\n")
    except OSError as exc:
        raise CommandError(f"{fault}: {setting}: {exc.strerror}") from exc


def _restore_sets(lines: list[str]) -> None:
    if lines:
        commands.ipset_restore(lines)
