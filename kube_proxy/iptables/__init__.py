"""The node's netfilter rules for services: the rules, what is in the tables, and one owner who makes both agree.

``backends`` opens the tables; ``rules`` and ``chains`` are the values that they contain.
"""

from kube_proxy.iptables.backend import RuleTables, TablesError
from kube_proxy.iptables.chains import RuleSet
from kube_proxy.iptables.rules import Jump, Redirect, Reject, RejectWith, Rule

__all__ = ["Jump", "Redirect", "Reject", "RejectWith", "Rule", "RuleSet", "RuleTables", "TablesError"]
