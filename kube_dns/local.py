"""The cluster's own answer to a question. Pure: a zone and a question in, an Answer out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from kube_dns.query import ANY, NXDOMAIN
from kube_dns.records import AAAA, CNAME, SOA, SRV, A, Record
from kube_dns.zone import Zone

_LONGEST_CHAIN: Final = 8
"""ExternalName services that name each other, at most."""

_ADDITIONAL: Final = 64
"""SRV records up to which their targets' addresses are added: more would not fit into a datagram anyway."""

_REVERSE: Final = ".in-addr.arpa"

Owned = tuple[str | None, Record]
"""A record and its name; None is the name of the question, as it was spelled."""


@dataclass
class Answer:
    """``soa`` names the zone in a negative answer; ``elsewhere`` is a name that another server must resolve."""

    rcode: int = 0
    answers: list[Owned] = field(default_factory=list)
    additional: list[tuple[str, Record]] = field(default_factory=list)
    soa: str | None = None
    elsewhere: str | None = None


def answer(zone: Zone, name: str, type: int, reverse_ranges: Sequence[IPv4Network] = ()) -> Answer | None:
    """The zone's answer, or None where the name belongs to others."""
    if zone.contains(name):
        return _follow(zone, name, name, type, zone.domain)
    if name.endswith((_REVERSE, ".ip6.arpa")):
        return _reverse(zone, name, type, reverse_ranges)
    return _short(zone, name, type)


def _short(zone: Zone, name: str, type: int) -> Answer | None:
    """``my-service.my-ns``, and all below it, without the domain: for the names of existing services alone.

    A namespace called like a top-level domain hides names of that domain. It does so anyway: the pods' search
    path asks for ``name.svc.<domain>`` first.
    """
    if "." not in name:
        return None
    candidates = [f"{name}.svc.{zone.domain}"]
    if name.endswith(".svc"):
        candidates.append(f"{name}.{zone.domain}")
    for full in candidates:
        if zone.lookup(full):
            return _follow(zone, full, None, type, name.rpartition(".")[2])
    return None


def _reverse(zone: Zone, name: str, type: int, ranges: Sequence[IPv4Network]) -> Answer | None:
    if zone.lookup(name):
        return _follow(zone, name, name, type, name)
    address = _address(name)
    if address is not None and any(address in network for network in ranges):
        return Answer(NXDOMAIN, soa=name.partition(".")[2])
    return None


def _address(name: str) -> IPv4Address | None:
    try:
        return IPv4Address(".".join(reversed(name.removesuffix(_REVERSE).split("."))))
    except ValueError:
        return None


def _follow(zone: Zone, name: str, asked: str | None, type: int, soa: str) -> Answer:
    """Look up a name and its aliases. ``asked`` is None where the question had a shorter form."""
    answer = Answer()
    owner: str | None = None
    for _ in range(_LONGEST_CHAIN):
        records = zone.lookup(name)
        if records is None:
            answer.rcode, answer.soa = NXDOMAIN, soa
            return answer
        matching = [record for record in records if type in (record.type, ANY)]
        if asked == zone.domain and type in (SOA, ANY):
            matching.append(Record(SOA, zone.domain))
        answer.answers += [(owner, record) for record in matching]
        if matching:
            answer.additional = _targets(zone, matching)
            return answer
        alias = next((record for record in records if record.type == CNAME), None)
        if alias is None:
            answer.soa = soa
            return answer
        answer.answers.append((owner, alias))
        owner = asked = name = alias.value
        if not zone.contains(name):
            answer.elsewhere = name
            return answer
        soa = zone.domain
    return answer


def _targets(zone: Zone, records: Sequence[Record]) -> list[tuple[str, Record]]:
    """The addresses of SRV records' targets."""
    targets = dict.fromkeys(record.value for record in records if record.type == SRV)
    if len(targets) > _ADDITIONAL:
        return []
    return [(target, record) for target in targets for record in zone.lookup(target) or () if record.type in (A, AAAA)]
