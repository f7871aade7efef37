"""Who leads, and when: candidates over one scripted API, in virtual time."""

import asyncio
from dataclasses import dataclass

import pytest

from kube_client import LeaderElector, LeadershipLost, run_elected

LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/scheduler"


class Candidate:
    """Notes since when it leads, and ends cleanly or not."""

    def __init__(self, client, identity: str) -> None:
        self.elector = LeaderElector(client, name="scheduler", namespace="kube-system", identity=identity)
        self.leading = asyncio.Event()
        self.stopped_at: float | None = None
        self.task = asyncio.create_task(self.elector.run(self._lead))

    async def _lead(self) -> None:
        self.leading.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped_at = now()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
def election(virtual, scripted, connected):
    """Run ``test(api, client)`` in virtual time."""

    def run(test) -> None:
        async def main() -> None:
            api = scripted()
            async with connected(api) as client:
                await test(api, client)

        virtual(main())

    return run


def spec(api) -> dict:
    return api.objects[LEASE]["spec"]


def test_one_of_two_leads_and_the_other_takes_over_at_once_after_a_clean_stop(election) -> None:
    async def test(api, client) -> None:
        first, second = Candidate(client, "one"), Candidate(client, "two")
        await asyncio.sleep(60)
        assert first.leading.is_set() != second.leading.is_set()
        leader, other = (first, second) if first.leading.is_set() else (second, first)
        assert leader.elector.is_leader
        assert not other.elector.is_leader
        assert spec(api)["leaseDurationSeconds"] == 15
        started = now()
        await leader.stop()
        assert not leader.elector.is_leader
        await other.leading.wait()
        assert now() - started < 6  # far from the 15 s of an expired lease
        assert spec(api)["leaseTransitions"] == 2 or spec(api)["leaseTransitions"] == 1
        await other.stop()
        assert spec(api)["holderIdentity"] == ""

    election(test)


def test_a_dead_leaders_lease_is_taken_after_it_expired_by_the_observers_own_clock(election) -> None:
    async def test(api, client) -> None:
        stale = "2001-01-01T00:00:00.000000Z"  # a clock far off must not matter
        held = {"holderIdentity": "dead", "leaseDurationSeconds": 15, "renewTime": stale, "leaseTransitions": 4}
        api.put(LEASE, {"spec": held})
        started = now()
        candidate = Candidate(client, "one")
        await candidate.leading.wait()
        assert 15 <= now() - started < 22
        assert spec(api)["leaseTransitions"] == 5
        await candidate.stop()

    election(test)


def test_a_leader_that_is_alive_is_not_replaced(election) -> None:
    async def test(api, client) -> None:
        candidate = Candidate(client, "one")
        for _ in range(30):
            api.put(LEASE, {"spec": {"holderIdentity": "other", "leaseDurationSeconds": 15}})
            await asyncio.sleep(10)
        assert not candidate.leading.is_set()
        await candidate.stop()

    election(test)


def test_a_leader_that_cannot_renew_stops_before_others_may_start(election) -> None:
    async def test(api, client) -> None:
        candidate = Candidate(client, "one")
        await candidate.leading.wait()
        await asyncio.sleep(30)
        renewed = now()
        api.fail = lambda method, path: 503
        with pytest.raises(LeadershipLost):
            await candidate.task
        assert candidate.stopped_at is not None
        assert 7 < candidate.stopped_at - renewed < 11  # 10 s after its last success, before the 15 s of others

    election(test)


def test_a_lease_that_went_to_another_is_lost(election) -> None:
    async def test(api, client) -> None:
        candidate = Candidate(client, "one")
        await candidate.leading.wait()
        api.put(LEASE, {"spec": {"holderIdentity": "other", "leaseDurationSeconds": 15}})
        with pytest.raises(LeadershipLost):
            await candidate.task
        assert spec(api)["holderIdentity"] == "other"  # and not given back in the other's name

    election(test)


def test_a_lease_touched_by_others_or_deleted_is_renewed_all_the_same(election) -> None:
    async def test(api, client) -> None:
        candidate = Candidate(client, "one")
        await candidate.leading.wait()
        api.put(LEASE, api.objects[LEASE] | {"metadata": {"labels": {"a": "b"}}})
        await asyncio.sleep(30)
        api.drop(LEASE)
        await asyncio.sleep(30)
        assert candidate.elector.is_leader
        assert spec(api)["holderIdentity"] == "one"
        await candidate.stop()

    election(test)


def test_the_end_of_the_work_is_the_end_of_leading(election) -> None:
    async def test(api, client) -> None:
        async def work() -> None:
            await asyncio.sleep(5)

        elector = LeaderElector(client, name="scheduler", namespace="kube-system", identity="one")
        await elector.run(work)
        assert spec(api)["holderIdentity"] == ""

        async def fail() -> None:
            raise ValueError("a bug")

        with pytest.raises(ValueError, match="a bug"):
            await elector.run(fail)
        assert spec(api)["holderIdentity"] == ""

    election(test)


@dataclass(frozen=True)
class Settings:
    leader_elect: bool
    leader_elect_lease_duration: float = 15.0
    leader_elect_renew_deadline: float = 10.0
    leader_elect_retry_period: float = 2.0
    leader_elect_resource_name: str = "scheduler"
    leader_elect_resource_namespace: str = "kube-system"


@pytest.mark.parametrize("elect", [True, False])
def test_the_flags_say_whether_there_is_an_election(election, elect: bool) -> None:
    async def test(api, client) -> None:
        leases: list[bool] = []

        async def lead() -> None:
            leases.append(LEASE in api.objects)

        await run_elected(client, Settings(elect), "me", lead)
        assert leases == [elect]

    election(test)


def test_durations_that_cannot_work_are_refused(election) -> None:
    async def test(api, client) -> None:
        with pytest.raises(ValueError, match="above"):
            LeaderElector(client, name="a", namespace="b", identity="c", lease_duration=10, renew_deadline=10)

    election(test)
