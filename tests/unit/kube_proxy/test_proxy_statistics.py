"""What workers tell, summed up; and when a service is said to be failing."""

from prometheus_client import CollectorRegistry, generate_latest

from kube_proxy.dataplane.messages import BackendStats, PortStats
from kube_proxy.statistics import FAILING_FOR, REPEAT, Statistics


def stats(unreachable: int = 0, connections: int = 0, errors: int = 0, open: int = 0) -> PortStats:
    backend = BackendStats(connections=connections, errors=errors, open=open, bytes_to_client=100)
    if connections:
        backend.connect_seconds, backend.connect_latency[1] = 0.002, connections
    return PortStats(7, unreachable=unreachable, backends={"10.1.0.1:80": backend})


def make_statistics() -> tuple[Statistics, list[str]]:
    said: list[str] = []
    statistics = Statistics(lambda number, message: said.append(f"{number} {message}"))
    statistics.add_port(7, "ns/a:http", "TCP")
    return statistics, said


def test_workers_are_summed_up_and_open_connections_are_a_level() -> None:
    statistics, _ = make_statistics()
    statistics.report(0, stats(connections=3, open=2))
    statistics.report(1, stats(connections=1, open=1))
    statistics.report(0, stats(connections=1, errors=2, open=1))
    registry = CollectorRegistry()
    registry.register(statistics)
    text = generate_latest(registry).decode()
    labels = 'backend="10.1.0.1:80",protocol="TCP",service="ns/a:http"'
    for line in (
        f"kubeproxy_backend_connections_total{{{labels}}} 5.0",
        f"kubeproxy_backend_open{{{labels}}} 2.0",
        f'kubeproxy_backend_connect_duration_seconds_bucket{{backend="10.1.0.1:80",le="0.0025",{labels[22:]}}} 5.0',
    ):
        assert line in text, text
    statistics.worker_gone(0)
    assert statistics.of(7).backends["10.1.0.1:80"].open == 1


def test_backends_that_are_gone_are_forgotten_once_nothing_is_open() -> None:
    statistics, _ = make_statistics()
    statistics.report(0, stats(connections=1, open=1))
    statistics.keep_backends(7, set())
    assert statistics.of(7).backends
    statistics.report(0, stats())
    statistics.keep_backends(7, set())
    assert not statistics.of(7).backends
    statistics.remove_port(7)
    statistics.report(0, stats(connections=1))  # late news of a port that is gone


def test_a_service_that_fails_for_a_while_is_told_once() -> None:
    statistics, said = make_statistics()
    statistics.report(0, stats(unreachable=1, errors=1), now=100)
    statistics.report(0, stats(unreachable=1, errors=1), now=100 + FAILING_FOR - 0.1)
    assert said == []
    statistics.report(0, stats(unreachable=1, errors=1), now=100 + FAILING_FOR)
    statistics.report(0, stats(unreachable=1, errors=1), now=101 + FAILING_FOR)
    assert said == ["7 ns/a:http: no endpoint could be reached; last tried: 10.1.0.1:80"]


def test_a_service_without_endpoints_on_its_node_is_told_of_without_any() -> None:
    statistics, said = make_statistics()
    for now in (100, 100 + FAILING_FOR):
        statistics.report(0, PortStats(7, unreachable=1), now=now)
    assert said == ["7 ns/a:http: no endpoint could be reached"]


def test_it_is_told_again_if_it_goes_on() -> None:
    statistics, said = make_statistics()
    for second in range(0, int(REPEAT) + 20, 10):
        statistics.report(0, stats(unreachable=1, errors=1), now=float(second))
    assert len(said) == 2


def test_a_success_or_a_long_pause_makes_an_end_of_it() -> None:
    statistics, said = make_statistics()
    statistics.report(0, stats(unreachable=1), now=100)
    statistics.report(0, stats(connections=1), now=102)
    statistics.report(0, stats(unreachable=1), now=104)
    statistics.report(0, stats(unreachable=1), now=1000)
    assert said == []
