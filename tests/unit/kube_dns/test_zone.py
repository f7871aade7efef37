"""Which names exist, and what changes make of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_dns import records
from kube_dns.records import A, Record
from kube_dns.zone import Zone
from tests.unit.kube_dns.services import service, zone_of

ONE, TWO = Record(A, "10.0.0.1"), Record(A, "10.0.0.2")
NAME = "web.prod.svc.cluster.local"


def test_a_name_exists_when_a_name_below_it_does() -> None:
    zone = Zone("cluster.local.")
    zone.replace("web", {f"_http._tcp.{NAME}": (ONE,)})

    for name in (f"_tcp.{NAME}", NAME, "prod.svc.cluster.local", "svc.cluster.local"):
        assert zone.lookup(name) == (), name
    assert zone.lookup("other.svc.cluster.local") is None


def test_a_name_that_is_only_above_others_ends_with_the_last_of_them() -> None:
    zone = Zone("cluster.local")
    zone.replace("web", {NAME: (ONE,)})
    zone.replace("db", {"db.prod.svc.cluster.local": (TWO,)})

    zone.replace("web", {})
    assert zone.lookup(NAME) is None
    assert zone.lookup("prod.svc.cluster.local") == ()

    zone.replace("db", {})
    assert zone.lookup("prod.svc.cluster.local") is None
    assert zone.lookup("svc.cluster.local") == ()


def test_owners_of_one_name_are_merged_and_go_one_by_one() -> None:
    zone = Zone("cluster.local")
    zone.replace("web", {"1.0.0.10.in-addr.arpa": (ONE,)})
    zone.replace("db", {"1.0.0.10.in-addr.arpa": (TWO, ONE)})
    assert zone.lookup("1.0.0.10.in-addr.arpa") == (ONE, TWO)

    zone.replace("web", {})
    assert zone.lookup("1.0.0.10.in-addr.arpa") == (TWO, ONE)


def test_the_revision_grows_with_changes_only() -> None:
    zone = Zone("cluster.local")
    zone.replace("web", {NAME: (ONE,)})
    before = zone.revision

    zone.replace("web", {NAME: (ONE,)})
    zone.replace("never seen", {})
    assert zone.revision == before

    zone.replace("web", {NAME: (TWO,)})
    assert zone.revision > before


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("10-1-2-3.prod.pod.cluster.local", (Record(A, "10.1.2.3"),)),
        ("10-1-2-3.nowhere.pod.cluster.local", None),
        ("nowhere.pod.cluster.local", None),
        ("prod.pod.cluster.local", ()),
        ("pod.cluster.local", ()),
        ("web.prod.pod.cluster.local", None),
        ("10-1-2-300.prod.pod.cluster.local", None),
        ("x.10-1-2-3.prod.pod.cluster.local", None),
    ],
)
def test_pods_have_names_made_of_their_addresses(name: str, expected: object) -> None:
    zone = Zone("cluster.local")
    zone.replace("prod", records.of_namespace("prod", zone.domain))

    assert zone.lookup(name) == expected


@pytest.mark.parametrize(
    ("name", "inside"),
    [("cluster.local", True), ("a.cluster.local", True), ("acluster.local", False), ("local", False), ("", False)],
)
def test_the_domain_ends_at_a_label(name: str, inside: bool) -> None:
    assert Zone("Cluster.Local.").contains(name) is inside


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sets(st.sampled_from(["x", "y.x", "z.y.x", "y", "z"])))))
def test_whatever_the_changes_the_zone_is_that_of_its_last_state(changes: list[tuple[str, set[str]]]) -> None:
    def records_of(names: set[str]) -> dict[str, tuple[Record, ...]]:
        return {f"{name}.svc.cluster.local": (ONE,) for name in names}

    changed = Zone("cluster.local")
    for owner, names in changes:
        changed.replace(owner, records_of(names))
    fresh = Zone("cluster.local")
    for owner, names in dict(changes).items():
        fresh.replace(owner, records_of(names))

    for name in ("x", "y.x", "z.y.x", "y", "z", "z.y"):
        assert changed.lookup(f"{name}.svc.cluster.local") == fresh.lookup(f"{name}.svc.cluster.local")
    assert len(changed) == len(fresh)


def test_the_names_of_a_service_do_not_exist_in_another_namespace() -> None:
    zone = zone_of((service(), []))

    assert zone.lookup(NAME) is not None
    assert zone.lookup("web.default.svc.cluster.local") is None
