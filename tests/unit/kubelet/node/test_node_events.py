"""What a kubelet says of its node."""

from apimachinery.types import core_v1
from kubelet.node.events import schedulable_event, status_events

PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")


def status(ready: str | None = None, boot: str = "b", **pressures: str) -> core_v1.NodeStatus:
    conditions = [core_v1.NodeCondition(type=type, status=value) for type, value in pressures.items()]
    if ready is not None:
        conditions.append(core_v1.NodeCondition(type="Ready", status=ready))
    return core_v1.NodeStatus(conditions=conditions, node_info=core_v1.NodeSystemInfo(boot_id=boot))


def reasons(before: core_v1.NodeStatus, after: core_v1.NodeStatus) -> list[str]:
    return [event.reason for event in status_events("n", before, after)]


def test_the_first_report_tells_every_condition() -> None:
    first = status("False", **dict.fromkeys(PRESSURES, "False"))
    expected = ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"]
    assert reasons(core_v1.NodeStatus(), first) == expected
    assert reasons(first, first) == []
    assert reasons(first, status("True", **dict.fromkeys(PRESSURES, "False"))) == ["NodeReady"]


def test_a_pressure_is_told_when_it_begins_and_when_it_ends() -> None:
    calm, pressed = dict.fromkeys(PRESSURES, "False"), dict.fromkeys(PRESSURES, "True")
    expected = ["NodeHasInsufficientMemory", "NodeHasDiskPressure", "NodeHasInsufficientPID"]
    assert reasons(status(**calm), status(**pressed)) == expected
    expected = ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"]
    assert reasons(status(**pressed), status(**calm)) == expected


def test_what_a_silence_left_unknown_is_told_again() -> None:
    assert reasons(status("Unknown"), status("True")) == ["NodeReady"]
    assert reasons(status("True"), status("False")) == ["NodeNotReady"]


def test_a_reboot_is_a_warning() -> None:
    (event,) = status_events("n", status("True", boot="a"), status("True", boot="b"))
    assert event == ("Warning", "Rebooted", "Node n has been rebooted, boot id: b")


def test_a_cordon_is_told_in_kubernetes_words() -> None:
    cordoned, back = schedulable_event("n", unschedulable=True), schedulable_event("n", unschedulable=False)
    assert cordoned == ("Normal", "NodeNotSchedulable", "Node n status is now: NodeNotSchedulable")
    assert back == ("Normal", "NodeSchedulable", "Node n status is now: NodeSchedulable")
