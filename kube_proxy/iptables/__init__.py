"""The node's netfilter rules for services: what is wanted, what is there, and one owner who makes it so."""

from kube_proxy.iptables.rules import Jump, Redirect, Reject, Rule, RuleSet
from kube_proxy.iptables.tables import Tables, TablesError

__all__ = ["Jump", "Redirect", "Reject", "Rule", "RuleSet", "Tables", "TablesError"]
