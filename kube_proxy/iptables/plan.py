"""From what is in a table, or was the last time, to what is desired: a list of steps for one commit. Pure.

Only our own chains and the jumps into them are ever touched. A chain of ours holds exactly the desired rules;
their order is free, since no two catch the same packet in different ways (the refusing ones are only ever
written together). In a built-in chain our jumps stand in the declared order, wherever others put theirs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kube_proxy.iptables.chains import ALL_CHAINS, PREFIXES, USERSPACE_CHAINS, Chain, RuleSet, is_ours
from kube_proxy.iptables.rules import Jump, Rule


@dataclass(frozen=True)
class ExistingRule:
    """A rule in a table: its bytes, and what they mean if it is of a form that we write."""

    rule: Rule | None
    entry: bytes = b""


ExistingChains = Mapping[str, Sequence[ExistingRule]]
"""Our chains that exist and the built-in ones that lead to them, with their rules, of one table."""


@dataclass(frozen=True)
class CreateChain:
    chain: str


@dataclass(frozen=True)
class FlushChain:
    chain: str


@dataclass(frozen=True)
class DeleteChain:
    chain: str


@dataclass(frozen=True)
class Append:
    chain: str
    rule: Rule


@dataclass(frozen=True)
class Insert:
    """As the chain's first rule."""

    chain: str
    rule: Rule


@dataclass(frozen=True)
class Delete:
    chain: str
    existing: ExistingRule


Step = CreateChain | FlushChain | DeleteChain | Append | Insert | Delete


def plan(
    table: str, desired: RuleSet, existing: ExistingChains, declared: Sequence[Chain] = USERSPACE_CHAINS
) -> list[Step]:
    """Steps that leave ``table`` with our chains, the desired rules and the jumps; empty when all is as it should be.

    ``declared`` are the chains of our mode, which are there even when they are empty.
    """
    ours = [chain for chain in dict.fromkeys((*declared, *desired)) if chain.table == table]
    steps: list[Step] = [CreateChain(chain.name) for chain in ours if chain.name not in existing]
    for chain in sorted(ours, key=_is_declared):
        fill = _fill_in_order if chain.ordered else _fill
        steps += fill(chain.name, existing.get(chain.name, ()), desired.get(chain, ()))
    for name in entrances(table):
        steps += _enter(name, existing.get(name, ()), [chain for chain in ours if name in chain.entered_from])
    return steps + _drop_leftovers(existing, ours)


def plan_change(before: RuleSet, desired: RuleSet) -> list[Step]:
    """Steps from what was last written to a table to what is desired now, if nobody else has changed it."""
    steps: list[Step] = [CreateChain(chain.name) for chain in desired if chain not in before]
    for chain in sorted(desired, key=_is_declared):
        old, new = before.get(chain, ()), desired[chain]
        if old is not new and old != new:
            fill = _fill_in_order if chain.ordered else _fill
            steps += fill(chain.name, [ExistingRule(rule) for rule in old], new)
    gone = [chain.name for chain in before if chain not in desired]
    return [*steps, *map(FlushChain, gone), *map(DeleteChain, gone)]


def batches(steps: Sequence[Step], size: int) -> Iterator[list[Step]]:
    """The steps in commits of about ``size``, each of which leaves every chain whole."""
    batch: list[Step] = []
    chain = None
    for step in steps:
        if len(batch) >= size and step.chain != chain:
            yield batch
            batch = []
        batch.append(step)
        chain = step.chain
    if batch:
        yield batch


def _is_declared(chain: Chain) -> bool:
    """A chain of one service or endpoint is filled before a declared one jumps to it."""
    return not chain.name.startswith(PREFIXES)


def plan_cleanup(table: str, existing: ExistingChains) -> list[Step]:
    """Steps that leave nothing of ours in ``table``."""
    names = {name for name in existing if is_ours(name)}
    steps: list[Step] = []
    for name in entrances(table):
        steps += [Delete(name, old) for old in _jumps(existing.get(name, ()), names)]
    steps += [FlushChain(name) for name in sorted(names) if existing[name]]
    steps += [DeleteChain(name) for name in sorted(names)]
    return steps


def entrances(table: str) -> list[str]:
    """The built-in chains from which ours are entered."""
    return list(dict.fromkeys(name for chain in ALL_CHAINS if chain.table == table for name in chain.entered_from))


def _drop_leftovers(existing: ExistingChains, ours: Sequence[Chain]) -> list[Step]:
    """Chains of services and endpoints that are gone. No rule jumps to them any more."""
    if not any(chain.ordered for chain in ours):
        return []  # they belong to the other mode
    names = {chain.name for chain in ours}
    leftovers = [name for name in existing if name.startswith(PREFIXES) and name not in names]
    return [*map(FlushChain, leftovers), *map(DeleteChain, leftovers)]


def _fill_in_order(name: str, existing: Sequence[ExistingRule], desired: Sequence[Rule]) -> Iterator[Step]:
    if [old.rule for old in existing] == list(desired):
        return
    if existing:
        yield FlushChain(name)
    for rule in desired:
        yield Append(name, rule)


def _fill(name: str, existing: Sequence[ExistingRule], desired: Sequence[Rule]) -> Iterator[Step]:
    missing = dict.fromkeys(desired)
    surplus = []
    for old in existing:
        if old.rule in missing:
            del missing[old.rule]
        else:
            surplus.append(old)  # not desired, or there twice
    if any(old.rule is None or isinstance(old.rule.target, Jump) for old in surplus):
        # Someone else's rule in our chain, which cannot be spelled to delete it: start the chain over.
        yield FlushChain(name)
        missing, surplus = dict.fromkeys(desired), []
    for old in surplus:
        yield Delete(name, old)
    for rule in missing:
        yield Append(name, rule)


def _enter(name: str, existing: Sequence[ExistingRule], chains: Sequence[Chain]) -> Iterator[Step]:
    jumps = _jumps(existing, {chain.name for chain in chains})
    if [old.rule for old in jumps] == [chain.jump for chain in chains]:
        return
    for old in jumps:
        yield Delete(name, old)
    for chain in reversed([chain for chain in chains if not chain.last]):
        yield Insert(name, chain.jump)
    for chain in chains:
        if chain.last:
            yield Append(name, chain.jump)


def _jumps(existing: Sequence[ExistingRule], chains: set[str]) -> list[ExistingRule]:
    return [
        old for old in existing if old.rule and isinstance(old.rule.target, Jump) and old.rule.target.chain in chains
    ]
