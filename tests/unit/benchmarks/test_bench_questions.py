"""The DNS questions that the benchmark asks, and what it takes for an answer."""

import dnslib
import pytest

from benchmarks.questions import Asker, Job, answered, question

NAME = "web-1.space.svc.cluster.local"


def asked(unlike: bool) -> list[bytes]:
    asker = Asker(Job("127.0.0.1", 53, [NAME], seconds=1, unlike=unlike))
    return [asker._next() for _ in range(3)]


def test_a_question_is_one_for_addresses() -> None:
    parsed = dnslib.DNSRecord.parse(b"\0\1\1\0\0\1\0\0\0\0\0\0" + question(NAME))

    assert (str(parsed.q.qname), parsed.q.qtype, parsed.q.qclass) == (f"{NAME}.", 1, 1)


@pytest.mark.parametrize("unlike", [False, True])
def test_questions_differ_but_for_the_identifier_only_where_no_answer_may_be_ready(unlike: bool) -> None:
    bodies = [question[2:] for question in asked(unlike)]

    assert len({*bodies}) == (3 if unlike else 1)
    assert len({question[:2] for question in asked(unlike)}) == 3
    assert [str(dnslib.DNSRecord.parse(question).q.qname) for question in asked(unlike)] == [f"{NAME}."] * 3


def test_only_answers_with_records_count() -> None:
    reply = dnslib.DNSRecord.question(NAME).reply()
    assert not answered(bytes(reply.pack()))
    reply.add_answer(*dnslib.RR.fromZone(f"{NAME} 5 A 10.0.0.1"))
    assert answered(bytes(reply.pack()))
    reply.header.rcode = 2
    assert not answered(bytes(reply.pack()))
