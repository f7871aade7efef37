"""The node's netfilter rules for services: what is wanted, what is there, and one owner who makes it so."""

from kube_proxy.iptables.choice import BACKENDS, RuleTables, clean_up_everywhere, kernel_mode_tables, open_tables
from kube_proxy.iptables.rules import Jump, Redirect, Reject, Rule, RuleSet
from kube_proxy.iptables.tables import Tables, TablesError

__all__ = [
    "BACKENDS",
    "Jump",
    "Redirect",
    "Reject",
    "Rule",
    "RuleSet",
    "RuleTables",
    "Tables",
    "TablesError",
    "clean_up_everywhere",
    "kernel_mode_tables",
    "open_tables",
]
