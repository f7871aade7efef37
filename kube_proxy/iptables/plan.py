"""From what is in a table, or was the last time, to what should be: a list of steps for one commit. Pure.

Only our own chains and the jumps into them are ever touched. A chain of ours holds exactly the wanted rules;
their order is free, since no two catch the same packet in different ways (the refusing ones are only ever
written together). In a built-in chain our jumps stand in the declared order, wherever others put theirs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kube_proxy.iptables.rules import CHAINS, KERNEL_CHAINS, PREFIXES, Chain, Jump, Rule, RuleSet, is_ours


@dataclass(frozen=True)
class Found:
    """A rule that is there: its bytes, and what they mean if it is of a form of ours."""

    rule: Rule | None
    entry: bytes = b""


FoundChains = Mapping[str, Sequence[Found]]
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
    found: Found


Step = CreateChain | FlushChain | DeleteChain | Append | Insert | Delete


def plan(
    table: str, wanted: RuleSet, found: FoundChains, declared: Sequence[Chain] = CHAINS
) -> list[Step]:
    """Steps that leave ``table`` with our chains, the wanted rules and the jumps; empty when all is as it should be.

    ``declared`` are the chains of our mode, which are there even when they are empty.
    """
    ours = [chain for chain in dict.fromkeys((*declared, *wanted)) if chain.table == table]
    steps: list[Step] = [CreateChain(chain.name) for chain in ours if chain.name not in found]
    for chain in sorted(ours, key=_entered_later):
        fill = _fill_in_order if chain.ordered else _fill
        steps += fill(chain.name, found.get(chain.name, ()), wanted.get(chain, ()))
    for name in entrances(table):
        steps += _enter(name, found.get(name, ()), [chain for chain in ours if name in chain.entered_from])
    return steps + _drop_leftovers(found, ours)


def plan_change(before: RuleSet, wanted: RuleSet) -> list[Step]:
    """Steps from what one table was told last to what is wanted now, for who trusts that nobody else was there."""
    steps: list[Step] = [CreateChain(chain.name) for chain in wanted if chain not in before]
    for chain in sorted(wanted, key=_entered_later):
        old, new = before.get(chain, ()), wanted[chain]
        if old is not new and old != new:
            fill = _fill_in_order if chain.ordered else _fill
            steps += fill(chain.name, [Found(rule) for rule in old], new)
    gone = [chain.name for chain in before if chain not in wanted]
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


def _entered_later(chain: Chain) -> bool:
    """A chain of one service or endpoint stands before a rule of the declared ones leads to it."""
    return not chain.name.startswith(PREFIXES)


def plan_cleanup(table: str, found: FoundChains) -> list[Step]:
    """Steps that leave nothing of ours in ``table``."""
    names = {name for name in found if is_ours(name)}
    steps: list[Step] = []
    for name in entrances(table):
        steps += [Delete(name, there) for there in _jumps(found.get(name, ()), names)]
    steps += [FlushChain(name) for name in sorted(names) if found[name]]
    steps += [DeleteChain(name) for name in sorted(names)]
    return steps


def entrances(table: str) -> list[str]:
    """The built-in chains from which ours are entered."""
    chains = (chain for chain in (*CHAINS, *KERNEL_CHAINS) if chain.table == table)
    return list(dict.fromkeys(name for chain in chains for name in chain.entered_from))


def _drop_leftovers(found: FoundChains, ours: Sequence[Chain]) -> list[Step]:
    """Chains of services and endpoints that are gone. What led to them has been filled anew."""
    if not any(chain.ordered for chain in ours):
        return []  # they belong to the other mode
    names = {chain.name for chain in ours}
    leftovers = [name for name in found if name.startswith(PREFIXES) and name not in names]
    return [*map(FlushChain, leftovers), *map(DeleteChain, leftovers)]


def _fill_in_order(name: str, found: Sequence[Found], wanted: Sequence[Rule]) -> Iterator[Step]:
    if [there.rule for there in found] == list(wanted):
        return
    if found:
        yield FlushChain(name)
    for rule in wanted:
        yield Append(name, rule)


def _fill(name: str, found: Sequence[Found], wanted: Sequence[Rule]) -> Iterator[Step]:
    missing = dict.fromkeys(wanted)
    surplus = []
    for there in found:
        if there.rule in missing:
            del missing[there.rule]
        else:
            surplus.append(there)  # unwanted, or there twice
    if any(there.rule is None or isinstance(there.rule.target, Jump) for there in surplus):
        # Someone else's rule in our chain, which we could not spell to delete it: start the chain over.
        yield FlushChain(name)
        missing, surplus = dict.fromkeys(wanted), []
    for there in surplus:
        yield Delete(name, there)
    for rule in missing:
        yield Append(name, rule)


def _enter(name: str, found: Sequence[Found], chains: Sequence[Chain]) -> Iterator[Step]:
    jumps = _jumps(found, {chain.name for chain in chains})
    if [there.rule for there in jumps] == [chain.jump for chain in chains]:
        return
    for there in jumps:
        yield Delete(name, there)
    for chain in reversed([chain for chain in chains if not chain.last]):
        yield Insert(name, chain.jump)
    for chain in chains:
        if chain.last:
            yield Append(name, chain.jump)


def _jumps(found: Sequence[Found], chains: set[str]) -> list[Found]:
    return [
        there
        for there in found
        if there.rule and isinstance(there.rule.target, Jump) and there.rule.target.chain in chains
    ]
