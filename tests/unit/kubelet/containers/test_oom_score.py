"""OOM scores by quality of service, and the lowest that this process may set."""

from typing import Any

import pytest

from apimachinery.types import core_v1
from kubelet.containers.oom_score import oom_score_adj
from tests.unit.kubelet.records import make_pod

GI = 1 << 30


@pytest.mark.parametrize(
    ("limits", "requests", "score"),
    [
        pytest.param({}, {}, 1000, id="best effort"),
        pytest.param({"cpu": "0", "memory": "0"}, {}, 1000, id="limits of zero do not count"),
        pytest.param({"cpu": "1", "memory": "1Gi"}, {}, -997, id="guaranteed"),
        pytest.param(
            {"cpu": "1", "memory": "1Gi"}, {"cpu": "1000m", "memory": "1Gi"}, -997, id="guaranteed, spelled out"
        ),
        pytest.param({"memory": "1Gi"}, {}, 750, id="a quarter of the node's memory"),
        pytest.param({}, {"cpu": "1"}, 999, id="burstable without memory"),
    ],
)
def test_score(limits: Any, requests: Any, score: int) -> None:
    pod = make_pod()
    pod.spec.containers[0].resources = core_v1.ResourceRequirements(limits=limits, requests=requests)
    assert oom_score_adj(pod, pod.spec.containers[0], 4 * GI) == score


def test_a_request_of_an_init_container_makes_all_containers_burstable() -> None:
    pod = make_pod()
    pod.spec.init_containers = [core_v1.Container(name="setup")]
    pod.spec.init_containers[0].resources.requests = {"memory": "1Gi"}
    assert oom_score_adj(pod, pod.spec.containers[0], 4 * GI) == 999
    assert oom_score_adj(pod, pod.spec.init_containers[0], 4 * GI) == 750
