"""A row of the table is a pure function of its node and pods: whatever happened before, it equals a recount."""

from collections.abc import Collection
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery.core.pod_resources import CPU, MEMORY, PODS
from apimachinery.types.core_v1 import Node
from scheduler.cache import Cache
from scheduler.pod_info import PodInfo, pod_info
from tests.objects import make_node, make_pod


@dataclass(frozen=True)
class _CountLabelled:
    label: str
    asks_pods = True

    def value(self, node: Node, pods: Collection[PodInfo]) -> int:
        return sum(self.label in (pod.pod.metadata.labels or {}) for pod in pods)


@dataclass(frozen=True)
class _Zone:
    asks_pods = False

    def value(self, node: Node, pods: Collection[PodInfo]) -> int:
        return int((node.metadata.labels or {}).get("zone", "0"))


NODES = [f"n{i}" for i in range(20)]  # more than the table starts with
NODE = st.one_of(st.sampled_from(NODES[:2]), st.sampled_from(NODES))  # mostly the same few, or nothing meets
STEP = st.one_of(
    st.tuples(st.just("node"), NODE, st.integers(1, 4), st.sampled_from(["", "gpu", "fpga"])),
    st.tuples(st.just("no node"), NODE),
    st.tuples(st.sampled_from(["pod", "assume"]), st.integers(0, 4), NODE, st.integers(0, 3)),
    st.tuples(st.sampled_from(["no pod", "forget"]), st.integers(0, 4)),
    st.tuples(st.just("ask")),
)


def apply(cache: Cache, step: tuple, nodes: dict, bound: dict, assumed: dict) -> None:
    match step:
        case ("node", name, size, extra):
            extended = {f"example.com/{extra}": str(size)} if extra else {}
            nodes[name] = make_node(name, cpu=str(size), labels={"zone": str(size)}, **extended)
            cache.set_node(nodes[name])
        case ("no node", name):
            nodes.pop(name, None)
            cache.remove_node(name)
        case ("pod", number, node, size):
            pod = make_pod(f"p{number}", node=node, requests={"cpu": f"{size}00m"}, labels={f"l{size % 2}": ""})
            bound[f"p{number}"] = pod
            assumed.pop(f"p{number}", None)
            cache.set_pod(pod)
        case ("assume", number, node, size):
            name = f"p{number}"
            if name not in bound:
                pod = make_pod(name, requests={"cpu": f"{size}", "example.com/gpu": "1"}, labels={"l1": ""})
                assumed[name] = (pod, node)
                cache.assume(pod_info(pod), node)
        case ("no pod", number):
            bound.pop(f"p{number}", None)
            assumed.pop(f"p{number}", None)
            cache.remove_pod(f"uid-default-p{number}")
        case ("forget", number):
            assumed.pop(f"p{number}", None)
            cache.forget(f"uid-default-p{number}")
        case ("ask",):
            cache.table.term(_CountLabelled("l1"))
            cache.table.term(_Zone())


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=60))
def test_rows_equal_a_recount(steps: list[tuple]) -> None:
    cache, nodes, bound, assumed = Cache(), {}, {}, {}
    for step in steps:
        apply(cache, step, nodes, bound, assumed)
    table = cache.table
    assert len(table) == len(nodes) == int(table.valid.sum())
    assert {table.names[row] for row in table.valid.nonzero()[0]} == set(nodes)
    labelled, zones = table.term(_CountLabelled("l1")), table.term(_Zone())
    for name, node in nodes.items():
        row = table.row_of(name)
        assert row is not None
        there = [pod_info(pod) for pod in bound.values() if pod.spec.node_name == name]
        there += [pod_info(pod) for pod, where in assumed.values() if where == name]
        for resource in (CPU, MEMORY, PODS, "example.com/gpu", "example.com/fpga"):
            column = table.resource(resource)
            if column is None:
                continue
            want = sum(pod.requests.get(resource, 0) for pod in there)
            offered = pod_info(make_pod(requests=dict(node.status.allocatable))).requests  # the same arithmetic
            have = 110 if resource == PODS else offered.get(resource, 0)
            assert table.requested[column, row] == want
            assert table.allocatable[column, row] == have
            assert table.free[column, row] == have - want
        assert table.scored[0, row] == sum(pod.scored_cpu for pod in there)
        assert labelled[row] == sum("l1" in pod.pod.metadata.labels for pod in there)
        assert zones[row] == int(node.metadata.labels["zone"])


def pods_on(cache: Cache, *nodes: str) -> list[int]:
    column = cache.table.resource(PODS)
    return [int(cache.table.requested[column, cache.table.row_of(node)]) for node in nodes]


def test_an_assumption_ends_with_the_informers_word_and_not_before() -> None:
    cache = Cache()
    cache.set_node(make_node("n1"))
    cache.set_node(make_node("n2"))
    info = pod_info(make_pod(requests={"cpu": "1"}))
    cache.assume(info, "n1")
    assert pods_on(cache, "n1", "n2") == [1, 0]
    cache.set_pod(make_pod(node="n2", requests={"cpu": "1"}))  # another scheduler was faster
    assert not cache.is_assumed(info.uid)
    assert pods_on(cache, "n1", "n2") == [0, 1]
    cache.forget(info.uid)  # the late failure of our own binding
    assert pods_on(cache, "n1", "n2") == [0, 1]


def test_a_bound_pod_that_changes_changes_its_nodes_row() -> None:
    cache = Cache()
    cache.set_node(make_node("n1"))
    labelled = _CountLabelled("l1")
    cache.set_pod(make_pod(node="n1", requests={"cpu": "1"}))
    assert cache.table.term(labelled)[cache.table.row_of("n1")] == 0
    cache.set_pod(make_pod(node="n1", requests={"cpu": "2"}, labels={"l1": ""}))
    row = cache.table.row_of("n1")
    assert cache.table.requested[0, row] == 2000
    assert cache.table.term(labelled)[row] == 1
