"""Which nodes the built-in plugins accept and prefer, and what the message says when none is left."""

from pathlib import Path

import pytest

from apimachinery.core.pod_resources import CPU, MEMORY
from apimachinery.types.core_v1 import (
    Affinity,
    Container,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    PreferredSchedulingTerm,
    ResourceRequirements,
    Service,
    Taint,
    Toleration,
)
from apimachinery.types.storage_v1 import StorageClass
from kube_client import Client, Config, InformerFactory
from scheduler import plugins as scheduler_plugins
from scheduler.cache import Cache
from scheduler.framework import Framework, Handle, Unschedulable
from scheduler.pod_info import Tolerations, pod_info
from tests.objects import make_container, make_node, make_pod, make_service


@pytest.fixture
def handle() -> Handle:
    client = Client(Config(server="http://127.0.0.1:1"))
    return Handle(client, InformerFactory(client))


@pytest.fixture
def plugins(handle: Handle) -> Framework:
    return Framework(scheduler_plugins.load(handle))


def cluster(*nodes, pods=()) -> Cache:
    cache = Cache()
    for node in nodes:
        cache.set_node(node)
    for pod in pods:
        cache.set_pod(pod)
    return cache


def feasible(plugins: Framework, cache: Cache, pod: Pod) -> set[str]:
    return {cache.table.names[row] for row in plugins.feasible(pod_info(pod), cache.table)}


def best(plugins: Framework, cache: Cache, pod: Pod) -> set[str]:
    return {plugins.choose(pod_info(pod), cache.table) for _ in range(30)}


def required(*terms: NodeSelectorTerm) -> Affinity:
    selector = NodeSelector(node_selector_terms=list(terms))
    return Affinity(node_affinity=NodeAffinity(required_during_scheduling_ignored_during_execution=selector))


def where(key: str, operator: str, *values: str) -> NodeSelectorRequirement:
    return NodeSelectorRequirement(key=key, operator=operator, values=list(values) or None)


SSD, HDD = make_node("ssd", labels={"disk": "ssd", "gen": "3"}), make_node("hdd", labels={"disk": "hdd", "gen": "7"})
TAINTED = make_node("tainted", taints=[Taint(key="dedicated", value="db", effect="NoSchedule")])
CORDONED = make_node("cordoned", unschedulable=True)
SMALL = make_node("small", cpu="500m", memory="256Mi", pods="1")


@pytest.mark.parametrize(
    ("nodes", "pod", "expected"),
    [
        pytest.param([SSD, HDD], make_pod(), {"ssd", "hdd"}, id="anything goes"),
        pytest.param([SSD, HDD], make_pod(node_selector={"disk": "ssd"}), {"ssd"}, id="nodeSelector"),
        pytest.param(
            [SSD, HDD],
            make_pod(affinity=required(NodeSelectorTerm(match_expressions=[where("gen", "Gt", "5")]))),
            {"hdd"},
            id="Gt",
        ),
        pytest.param(
            [SSD, HDD],
            make_pod(
                affinity=required(
                    NodeSelectorTerm(match_expressions=[where("disk", "NotIn", "ssd"), where("gen", "Exists")]),
                    NodeSelectorTerm(match_fields=[where("metadata.name", "In", "ssd")]),
                )
            ),
            {"ssd", "hdd"},
            id="terms are alternatives",
        ),
        pytest.param([SSD], make_pod(affinity=required(NodeSelectorTerm())), set(), id="an empty term matches nothing"),
        pytest.param([SSD, TAINTED], make_pod(), {"ssd"}, id="taint"),
        pytest.param(
            [TAINTED],
            make_pod(tolerations=[Toleration(key="dedicated", value="db", effect="NoSchedule")]),
            {"tainted"},
            id="tolerated by value",
        ),
        pytest.param(
            [TAINTED],
            make_pod(tolerations=[Toleration(key="dedicated", value="web")]),
            set(),
            id="another value does not tolerate",
        ),
        pytest.param([TAINTED], make_pod(tolerations=[Toleration(operator="Exists")]), {"tainted"}, id="tolerates all"),
        pytest.param([SSD, CORDONED], make_pod(), {"ssd"}, id="cordoned"),
        pytest.param([CORDONED], make_pod(tolerations=[Toleration(operator="Exists")]), {"cordoned"}, id="no matter"),
        pytest.param([SSD, SMALL], make_pod(requests={"cpu": "501m"}), {"ssd"}, id="cpu"),
        pytest.param([SSD, SMALL], make_pod(requests={"cpu": "500m", "memory": "256Mi"}), {"ssd", "small"}, id="fits"),
        pytest.param([SSD], make_pod(requests={"example.com/gpu": "1"}), set(), id="a resource nobody has"),
    ],
)
def test_filters(plugins: Framework, nodes, pod: Pod, expected: set[str]) -> None:
    assert feasible(plugins, cluster(*nodes), pod) == expected


def test_the_ports_of_a_sidecar_count_as_the_containers_own_do(plugins: Framework) -> None:
    def with_sidecar(name: str, node: str | None = None) -> Pod:
        sidecar = make_container(host_port=80, name="proxy")
        sidecar.restart_policy = "Always"
        return make_pod(name, node=node, init_containers=[sidecar])

    cache = cluster(SSD, HDD, pods=[with_sidecar("web", node="ssd")])
    assert feasible(plugins, cache, make_pod(host_port=80)) == {"hdd"}
    assert feasible(plugins, cache, with_sidecar("b")) == {"hdd"}
    cache.set_pod(make_pod("c", node="hdd", host_port=80))
    assert feasible(plugins, cache, with_sidecar("b")) == set()


def test_tolerations_are_equal_whatever_their_order_and_defaults() -> None:
    spelled, short = Toleration(key="a", operator="Equal", value="", effect=""), Toleration(key="a")
    other = Toleration(key="b", operator="Exists")
    assert Tolerations.of([spelled, other]) == Tolerations.of([other, short])
    assert hash(Tolerations.of([spelled, other])) == hash(Tolerations.of([other, short]))
    assert Tolerations.of([spelled]) != Tolerations.of([other])


def test_a_plugin_names_the_kinds_whose_changes_may_help(plugins: Framework) -> None:
    assert plugins.retry_on == {PersistentVolumeClaim, PersistentVolume, StorageClass}


def test_a_host_port_is_used_once_per_node(plugins: Framework) -> None:
    cache = cluster(SSD, HDD, pods=[make_pod("web", node="ssd", host_port=80)])
    assert feasible(plugins, cache, make_pod(host_port=80)) == {"hdd"}
    assert feasible(plugins, cache, make_pod(host_port=81)) == {"ssd", "hdd"}


def test_room_is_taken_by_bound_and_by_assumed_pods(plugins: Framework) -> None:
    cache = cluster(SMALL, pods=[])
    assert feasible(plugins, cache, make_pod("b")) == {"small"}
    cache.assume(pod_info(make_pod("a")), "small")
    assert feasible(plugins, cache, make_pod("b")) == set()


def test_requests_are_the_sum_of_containers_or_the_peak_at_start() -> None:
    def init(cpu: str, restart: str | None = None) -> Container:
        resources = ResourceRequirements(requests={"cpu": cpu})
        return Container(name=f"i{cpu}", resources=resources, restart_policy=restart)

    pod = make_pod(init_containers=[init("1"), init("200m", "Always"), init("2")], overhead={"cpu": "10m"})
    pod.spec.containers = [make_container({"cpu": "300m", "memory": "1Ki"}), make_container({"cpu": "400m"}, name="d")]
    assert pod_info(pod).requests == {CPU: 2210, MEMORY: 1024, "pods": 1}


def test_the_emptier_node_is_better(plugins: Framework) -> None:
    cache = cluster(SSD, HDD, pods=[make_pod("a", node="ssd", requests={"cpu": "2", "memory": "4Gi"})])
    assert best(plugins, cache, make_pod("b", requests={"cpu": "100m", "memory": "200Mi"})) == {"hdd"}


def test_equal_nodes_are_chosen_at_random(plugins: Framework) -> None:
    assert best(plugins, cluster(SSD, HDD), make_pod()) == {"ssd", "hdd"}


def test_a_preferred_label_and_a_disliked_taint_count(plugins: Framework) -> None:
    term = PreferredSchedulingTerm(weight=1, preference=NodeSelectorTerm(match_expressions=[where("disk", "Exists")]))
    affinity = NodeAffinity(preferred_during_scheduling_ignored_during_execution=[term])
    plain = make_node("plain")
    assert best(plugins, cluster(SSD, plain), make_pod(affinity=Affinity(node_affinity=affinity))) == {"ssd"}
    disliked = make_node("disliked", taints=[Taint(key="k", effect="PreferNoSchedule")])
    assert best(plugins, cluster(disliked, plain), make_pod()) == {"plain"}


def test_pods_of_one_service_spread(plugins: Framework, handle: Handle) -> None:
    handle.informer(Service)._set(make_service(selector={"app": "web"}))  # as the watch would
    there = [make_pod(name, node="ssd", labels={"app": "web"}) for name in ("a", "b")]
    other = [make_pod(name, node="hdd", labels={"app": "other"}) for name in ("c", "d")]
    cache = cluster(SSD, HDD, pods=[*there, *other])
    assert best(plugins, cache, make_pod("e", labels={"app": "web"})) == {"hdd"}


@pytest.mark.parametrize(
    ("nodes", "pod", "message"),
    [
        ([], make_pod(), "no nodes available to schedule pods"),
        (
            [SMALL, TAINTED],
            make_pod(requests={"cpu": "1"}),
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {dedicated: db}.",
        ),
        (
            [SMALL, CORDONED, SSD],
            make_pod(node_selector={"disk": "tape"}),
            "0/3 nodes are available: 1 node(s) were unschedulable, "
            "2 node(s) didn't match Pod's node affinity/selector.",
        ),
        (
            [SMALL],
            make_pod(requests={"cpu": "1", "memory": "1Gi"}),
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.",
        ),
    ],
)
def test_why_no_node_is_feasible(plugins: Framework, nodes, pod: Pod, message: str) -> None:
    with pytest.raises(Unschedulable) as caught:
        plugins.choose(pod_info(pod), cluster(*nodes).table)
    assert str(caught.value) == message


PLUGIN = """
import numpy
class OnlyFirst:
    name = "OnlyFirst"
    def filter(self, pod, table):
        passed = numpy.zeros(len(table.names), numpy.bool_)
        passed[table.row_of("ssd")] = True
        return passed
    def reject_reasons(self, pod, table, rejected):
        return ["node(s) were not the first"] * len(rejected)
"""


def test_an_installed_packages_plugin_takes_part(
    handle: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_first.py").write_text(PLUGIN)
    about = tmp_path / "only_first-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: only-first\nVersion: 1.0\n")
    entry = "[peapod.scheduler_plugins]\nOnlyFirst = only_first:make\n"
    (about / "entry_points.txt").write_text(entry)
    with (tmp_path / "only_first.py").open("a") as module:
        module.write("def make(handle):\n    return OnlyFirst()\n")
    monkeypatch.syspath_prepend(tmp_path)
    extended = Framework(scheduler_plugins.load(handle))
    assert feasible(extended, cluster(SSD, HDD), make_pod()) == {"ssd"}


def test_a_disabled_plugin_does_not_filter_and_an_unknown_one_is_refused(handle: Handle) -> None:
    without = Framework(scheduler_plugins.load(handle, disabled=["TaintToleration"]))
    assert feasible(without, cluster(TAINTED), make_pod()) == {"tainted"}
    with pytest.raises(ValueError, match="there is no plugin 'Nope'"):
        scheduler_plugins.load(handle, disabled=["Nope"])
