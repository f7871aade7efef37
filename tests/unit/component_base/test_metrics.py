"""Our fast metrics print like prometheus_client's."""

import prometheus_client
from prometheus_client import CollectorRegistry

from component_base import metrics


def text(registry: CollectorRegistry) -> str:
    return metrics.exposition(registry).decode()


def plain(registry: CollectorRegistry) -> list[str]:
    """All lines but the creation times, which ours do not have."""
    return [line for line in text(registry).splitlines() if "_created" not in line]


def test_our_metrics_and_the_librarys_print_the_same() -> None:
    registry, reference_registry = CollectorRegistry(), CollectorRegistry()
    counter = metrics.Counter("requests", "Requests.", ["verb"], registry=registry)
    gauge = metrics.Gauge("depth", "Depth.", ["name"], registry=registry)
    histogram = metrics.Histogram("seconds", "Seconds.", ["verb"], buckets=(0.1, 1.0), registry=registry)
    reference_counter = prometheus_client.Counter("requests", "Requests.", ["verb"], registry=reference_registry)
    reference_gauge = prometheus_client.Gauge("depth", "Depth.", ["name"], registry=reference_registry)
    reference_histogram = prometheus_client.Histogram(
        "seconds", "Seconds.", ["verb"], buckets=(0.1, 1.0), registry=reference_registry
    )
    for verb, value in [("GET", 0.05), ("GET", 0.1), ("PUT", 0.5), ("GET", 7.0)]:
        counter.inc(verb)
        reference_counter.labels(verb).inc()
        histogram.observe(value, verb)
        reference_histogram.labels(verb).observe(value)
    gauge.set(3, "q")
    gauge.add(-1, "q")
    reference_gauge.labels("q").set(2)
    assert plain(registry) == plain(reference_registry)
    assert counter.get("GET") == 3


def test_a_gauge_can_be_read_at_exposition() -> None:
    registry = CollectorRegistry()
    values = [1.0]
    metrics.Gauge("live", "Live.", read=lambda: values[0], registry=registry)
    values[0] = 2.0
    assert "live 2.0" in text(registry)


def test_a_counter_without_labels_starts_at_zero() -> None:
    registry = CollectorRegistry()
    metrics.Counter("drops", "Drops.", registry=registry)
    assert "drops_total 0.0" in text(registry)
