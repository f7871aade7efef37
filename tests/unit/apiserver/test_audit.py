"""Which requests the audit policy records, what an event says, and how the log rotates."""

import asyncio
import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from apiserver.audit import NOTHING, AuditLog, LogFile, Policy, Record, Recording, Sender, read_policy
from apiserver.request import Attributes, User
from tests.support import eventually

ANN = User("ann", groups=("developers", "system:authenticated"))
SENDER = Sender("/api/v1/namespaces/default/pods?limit=5", "192.0.2.7", "kubectl/v1.32", "b0b")


def asked(verb: str = "get", resource: str = "pods", **more: Any) -> Attributes:
    return Attributes(ANN, verb, more.pop("path", "/api/v1/..."), version="v1", resource=resource, **more)


def policy(tmp_path: Path, *rules: dict[str, Any], **more: Any) -> Policy:
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more}))
    return read_policy(path)


@pytest.mark.parametrize(
    ("rule", "attributes", "is_about"),
    [
        ({}, asked(), True),
        ({"users": ["ann"]}, asked(), True),
        ({"users": ["bob"]}, asked(), False),
        ({"userGroups": ["developers"]}, asked(), True),
        ({"userGroups": ["system:masters"]}, asked(), False),
        ({"verbs": ["list", "get"]}, asked(), True),
        ({"verbs": ["watch"]}, asked(), False),
        ({"namespaces": ["default"]}, asked(namespace="default"), True),
        ({"namespaces": ["default"]}, asked(namespace="other"), False),
        ({"namespaces": [""]}, asked("list", "nodes"), True),
        ({"resources": [{"group": ""}]}, asked(), True),
        ({"resources": [{"group": "apps"}]}, asked(), False),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, asked(), True),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, asked(subresource="log"), False),
        ({"resources": [{"group": "", "resources": ["pods/log"]}]}, asked(subresource="log"), True),
        ({"resources": [{"group": "", "resources": ["pods/*"]}]}, asked(subresource="log"), True),
        ({"resources": [{"group": "", "resources": ["pods/*"]}]}, asked(), False),
        ({"resources": [{"group": "", "resources": ["*/log"]}]}, asked(subresource="log"), True),
        ({"resources": [{"group": "", "resources": ["*"]}]}, asked(subresource="log"), True),
        ({"resources": [{"group": "", "resourceNames": ["web"]}]}, asked(name="web"), True),
        ({"resources": [{"group": "", "resourceNames": ["web"]}]}, asked(name="db"), False),
        ({"nonResourceURLs": ["/metrics"]}, asked(resource="", path="/metrics"), True),
        ({"nonResourceURLs": ["/healthz*"]}, asked(resource="", path="/healthz/etcd"), True),
        ({"nonResourceURLs": ["/healthz*"]}, asked(resource="", path="/metrics"), False),
        ({"nonResourceURLs": ["*"]}, asked(), False),
        ({"resources": [{"group": ""}]}, asked(resource="", path="/metrics"), False),
    ],
)
def test_the_rule_that_is_about_a_request_decides(
    tmp_path: Path, rule: dict[str, Any], attributes: Attributes, is_about: bool
) -> None:
    recording = policy(tmp_path, {"level": "Request", **rule}).recording(attributes)
    assert (recording.level == "Request") is is_about
    assert is_about or recording is NOTHING


def test_the_first_rule_wins_and_the_stages_of_policy_and_rule_are_both_omitted(tmp_path: Path) -> None:
    rules = policy(
        tmp_path,
        {"level": "None", "users": ["system:kube-proxy"]},
        {"level": "Metadata", "omitStages": ["ResponseStarted"]},
        {"level": "RequestResponse"},
        omitStages=["RequestReceived"],
    )
    recording = rules.recording(asked())
    assert recording == Recording("Metadata", frozenset({"RequestReceived", "ResponseStarted"}))


@pytest.mark.parametrize(
    "attributes",
    [
        asked("create", "secrets"),
        asked("create", "serviceaccounts", subresource="token"),
        asked("create", "tokenreviews", group="authentication.k8s.io"),
    ],
)
def test_what_carries_secrets_is_never_recorded_with_its_body(tmp_path: Path, attributes: Attributes) -> None:
    assert policy(tmp_path, {"level": "RequestResponse"}).recording(attributes).level == "Metadata"


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("junk", "object"),
        ({"rules": [{"level": "Everything"}]}, "rules"),
        ({"rules": []}, "rules"),
        ({"rules": [{"level": "None", "user": ["ann"]}]}, "user"),
        ({"rules": [{"level": "None", "omitStages": ["Later"]}]}, "omitStages"),
        ({"rules": [{"level": "None", "nonResourceURLs": ["/a*b"]}]}, "rules\\[0\\].nonResourceURLs"),
        ({"rules": [{"level": "None", "nonResourceURLs": ["/a"], "namespaces": ["x"]}]}, "cannot be combined"),
        ({"rules": [{"level": "None"}], "kind": "Rule"}, "must be a Policy"),
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(tmp_path: Path, document: Any, says: str) -> None:
    path = tmp_path / "policy.yaml"
    whole = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", **document} if isinstance(document, dict) else document
    path.write_text(yaml.safe_dump(whole))
    with pytest.raises(ValueError, match=says):
        read_policy(path)


class Written:
    """A record, and the events that it wrote."""

    def __init__(self, recording: Recording, attributes: Attributes | None = None) -> None:
        self.lines: list[bytes] = []
        self.record = Record(recording, attributes or asked(), SENDER, self.lines.append)

    @property
    def event(self) -> dict[str, Any]:
        """The one event."""
        (line,) = self.lines
        assert b"\n" not in line
        document: dict[str, Any] = json.loads(line)
        return document

    def completed(self) -> dict[str, Any]:
        self.record.request_object, self.record.response_object = b'{"a": 1}', b'{"b": 2}'
        self.record.emit("ResponseComplete")
        return self.event


def test_an_event_says_who_asked_for_what_and_what_came_of_it() -> None:
    written = Written(Recording("Metadata"), asked("list", namespace="default"))
    written.record.annotations["authorization.k8s.io/decision"] = "allow"
    written.record.impersonates(User("bob"))
    written.record.status["code"] = 200
    recorded = written.completed()
    moments = recorded.pop("requestReceivedTimestamp"), recorded.pop("stageTimestamp")
    assert all(len(moment) == len("2026-11-27T13:37:48.123456Z") for moment in moments)
    assert recorded == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": "b0b",
        "stage": "ResponseComplete",
        "requestURI": SENDER.uri,
        "verb": "list",
        "user": {"username": "ann", "groups": ["developers", "system:authenticated"]},
        "impersonatedUser": {"username": "bob"},
        "sourceIPs": ["192.0.2.7"],
        "userAgent": "kubectl/v1.32",
        "objectRef": {"resource": "pods", "namespace": "default", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 200},
        "annotations": {"authorization.k8s.io/decision": "allow"},
    }


def test_bodies_come_with_the_levels_that_ask_for_them() -> None:
    only_request = Written(Recording("Request")).completed()
    assert only_request["requestObject"] == {"a": 1}
    assert "responseObject" not in only_request
    assert Written(Recording("RequestResponse")).completed()["responseObject"] == {"b": 2}


def test_a_body_that_is_too_large_is_left_out_and_that_is_said() -> None:
    written = Written(Recording("Request"))
    written.record.request_object = b'{"a": "%s"}' % (b"x" * 200_000)
    written.record.emit("ResponseComplete")
    assert written.event["annotations"] == {"audit.k8s.io/truncated": "true"}
    assert written.event["requestObject"] is None


def test_managed_fields_are_left_out_where_the_policy_says_so() -> None:
    written = Written(Recording("RequestResponse", omits_managed_fields=True))
    written.record.response_object = b'{"items":[{"metadata":{"name":"web","managedFields":[{"manager":"kubectl"}]}}]}'
    written.record.emit("ResponseComplete")
    assert written.event["responseObject"] == {"items": [{"metadata": {"name": "web"}}]}


def test_each_stage_is_recorded_once_unless_it_is_omitted() -> None:
    written = Written(Recording("Metadata", frozenset({"RequestReceived"})))
    for stage in ("RequestReceived", "ResponseComplete", "ResponseComplete"):
        written.record.emit(stage)  # type: ignore[arg-type]  # each is a stage
    assert written.event["stage"] == "ResponseComplete"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def log_file(path: Path, max_backups: int = 0, max_age: int = 0) -> LogFile:
    return LogFile(path, max_size=1, max_backups=max_backups, max_age=max_age)


def test_a_full_file_is_rotated_and_old_ones_are_removed(tmp_path: Path) -> None:
    log = log_file(tmp_path / "audit.log", max_backups=2)
    for number in range(5):
        log.append(b"%d" % number * 700_000)
    backups = [path for path in sorted(tmp_path.iterdir()) if path.name != "audit.log"]
    assert [path.read_bytes()[:1] for path in backups] == [b"2", b"3"]
    assert (tmp_path / "audit.log").read_bytes()[:1] == b"4"
    assert stat.S_IMODE((tmp_path / "audit.log").stat().st_mode) == 0o600


def test_rotated_files_are_removed_after_some_days(tmp_path: Path) -> None:
    old, young = tmp_path / "audit-2020-01-01T00-00-00.000000.log", tmp_path / "audit-2020-01-02T00-00-00.000000.log"
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (0, time.time() - 3 * 86_400))
    log = log_file(tmp_path / "audit.log", max_age=2)
    log.append(b"1" * 700_000)
    log.append(b"2" * 700_000)
    assert old.name not in files(tmp_path)
    assert young.name in files(tmp_path)


async def test_lines_are_in_the_file_when_the_log_has_ended(tmp_path: Path) -> None:
    audit = AuditLog(log_file(tmp_path / "audit.log"))
    running = asyncio.create_task(audit.run())
    await asyncio.sleep(0)
    audit.add(b'{"a":1}')
    audit.add(b'{"b":2}')
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (tmp_path / "audit.log").read_bytes() == b'{"a":1}\n{"b":2}\n'


async def test_a_file_that_cannot_be_written_loses_events_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audit = AuditLog(log_file(tmp_path / "missing" / "audit.log"))
    running = asyncio.create_task(audit.run())
    audit.add(b"{}")
    await eventually(lambda: "1 events were lost" in caplog.text)
    assert not running.done()
    (tmp_path / "missing").mkdir()
    audit.add(b'{"b":2}')
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (tmp_path / "missing" / "audit.log").read_bytes() == b'{"b":2}\n'
