"""How long other servers' answers are cached, and in how much memory."""

import dnslib
import pytest

from kube_dns.answer_cache import FAILURE_TTL, MAX_TTL, AnswerCache


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def message(zone: str = "", authority: str = "", rcode: int = 0, tc: int = 0) -> bytes:
    answer = dnslib.DNSRecord.question("www.example.com").reply()
    answer.header.rcode, answer.header.tc = rcode, tc
    if zone:
        answer.add_answer(*dnslib.RR.fromZone(zone))
    if authority:
        answer.add_auth(*dnslib.RR.fromZone(authority))
    return bytes(answer.pack())


ADDRESSES = "www.example.com 60 A 192.0.2.1\nwww.example.com 30 A 192.0.2.2"
SOA = "example.com 300 SOA ns.example.com. h.example.com. 1 2 3 4 20"
ALIAS = "www.example.com 60 CNAME other.example.com."


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        pytest.param(message(ADDRESSES), 30, id="shortest ttl"),
        pytest.param(message("www.example.com 999999 A 192.0.2.1"), MAX_TTL, id="very long ttl"),
        pytest.param(message("www.example.com 0 A 192.0.2.1"), 0, id="no ttl"),
        pytest.param(message(authority=SOA, rcode=3), 20, id="name error, as its soa says"),
        pytest.param(message(authority=SOA), 20, id="no data, as its soa says"),
        pytest.param(message(ALIAS, SOA), 20, id="alias of a name without data"),
        pytest.param(message(rcode=3), 0, id="name error without soa"),
        pytest.param(message(), 0, id="no data without soa"),
        pytest.param(message(rcode=2), FAILURE_TTL, id="failure"),
        pytest.param(message(rcode=5), 0, id="refused"),
        pytest.param(message(ADDRESSES, tc=1), 0, id="cut off"),
    ],
)
def test_an_answer_is_cached_as_long_as_its_ttl_allows(clock: Clock, answer: bytes, seconds: int) -> None:
    cache = AnswerCache(10, 1 << 20, clock)
    cache.put(b"key", answer)

    if seconds:
        clock.now += seconds - 0.01
        assert cache.get(b"key") is not None
        clock.now += 0.02
    assert cache.get(b"key") is None


def test_ttls_run_down_while_an_answer_is_kept(clock: Clock) -> None:
    cache = AnswerCache(10, 1 << 20, clock)
    cache.put(b"key", message(ADDRESSES))
    clock.now += 10.5

    aged = cache.get(b"key")

    assert aged is not None
    assert [record.ttl for record in dnslib.DNSRecord.parse(aged).rr] == [50, 20]


def test_the_longest_unused_answer_goes_first(clock: Clock) -> None:
    cache = AnswerCache(2, 1 << 20, clock)
    cache.put(b"a", message(ADDRESSES))
    cache.put(b"b", message(ADDRESSES))
    cache.get(b"a")
    cache.put(b"c", message(ADDRESSES))

    assert [cache.get(key) is not None for key in (b"a", b"b", b"c")] == [True, False, True]


def test_memory_is_bounded_and_accounted_for(clock: Clock) -> None:
    answer = message(ADDRESSES)
    cache = AnswerCache(1000, 5 * len(answer), clock)
    for n in range(100):
        cache.put(str(n).encode(), answer)
        cache.put(str(n).encode(), answer)

    assert len(cache) == 5
    assert cache.used == 5 * len(answer)
    clock.now += 100
    assert cache.get(b"99") is None
    assert cache.used == 4 * len(answer)


def test_a_huge_answer_is_not_kept(clock: Clock) -> None:
    cache = AnswerCache(10, 1 << 20, clock)
    cache.put(b"key", message("\n".join(f"www.example.com 60 A 10.0.{n // 250}.{n % 250}" for n in range(600))))

    assert len(cache) == 0
