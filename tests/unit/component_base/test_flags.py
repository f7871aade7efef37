"""Which source wins, what a bad value says, what --help shows."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from component_base import flags
from component_base.flags import Options, group, option, parse
from component_base.values import Duration, HostPort, IPNetwork


@dataclass(frozen=True, kw_only=True)
class LeaderElection:
    leader_elect: bool = option(True, "Lead only while holding a Lease.")
    leader_elect_lease_duration: Duration = option("15s", "How long others wait.")


@dataclass(frozen=True, kw_only=True)
class ExampleOptions(Options):
    leader_election: LeaderElection = group("Leader election", LeaderElection)
    etcd_servers: tuple[str, ...] = option((), "Where etcd is.", group="Storage")
    service_cluster_ip_range: IPNetwork = option("10.0.0.0/16", "Addresses of services.")
    healthz: HostPort | None = option(None, "Where to serve health.", flag="healthz-bind-address")
    node_labels: dict[str, str] = option({}, "Labels of the node.")
    port: int = option(10259, "Where to listen.")

    def __post_init__(self) -> None:
        if self.port == 1:
            raise ValueError("--port must not be 1")


def read(*argv: str) -> ExampleOptions:
    return parse(ExampleOptions, "example", "Does things.", argv)


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as exit:
        read(*argv)
    assert exit.value.code == 2
    return capsys.readouterr().err


def test_defaults_are_of_the_fields_types() -> None:
    options = read()
    assert options.leader_election == LeaderElection(leader_elect=True, leader_elect_lease_duration=Duration(15))
    assert options.service_cluster_ip_range.num_addresses == 65536
    assert options.node_labels == {}
    assert options.v == 2


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [
        (["--port=7"], "port", 7),
        (["--port", "7"], "port", 7),
        (["-v", "4"], "v", 4),
        (["-v=4"], "v", 4),
        (["--v=4"], "v", 4),
        (["--etcd-servers=https://a:1,https://b:2"], "etcd_servers", ("https://a:1", "https://b:2")),
        (["--healthz-bind-address=0.0.0.0:10256"], "healthz", HostPort("0.0.0.0", 10256)),
        (["--node-labels=a=b,c=d"], "node_labels", {"a": "b", "c": "d"}),
        (["--logging-format=json"], "logging_format", "json"),
    ],
)
def test_a_flag_sets_its_field(argv: list[str], name: str, value: object) -> None:
    assert getattr(read(*argv), name) == value


@pytest.mark.parametrize(("argv", "value"), [(["--leader-elect"], True), (["--leader-elect=false"], False)])
def test_a_boolean_flag_may_stand_alone(argv: list[str], value: bool) -> None:
    assert read(*argv).leader_election.leader_elect is value


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "port: 5\nleader-elect: false\netcd-servers: [a, b]\nnode-labels: {x: y}\n"
        "leader-elect-lease-duration: 1m30s\nhealthz-bind-address: '10:30'\n"
    )
    options = read(f"--config={file}", "--port=6")
    assert options.port == 6
    assert options.leader_election == LeaderElection(leader_elect=False, leader_elect_lease_duration=Duration(90))
    assert options.etcd_servers == ("a", "b")
    assert options.node_labels == {"x": "y"}
    assert options.sources["port"] == "flag"
    assert options.sources["leader-elect"] == "file"
    assert "--port=6 (flag)" in flags.describe(options)
    assert "--v=2 (default)" in flags.describe(options)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--port=x"], 'invalid argument "x" for "--port" flag'),
        (["--leader-elect=maybe"], 'invalid argument "maybe" for "--leader-elect" flag'),
        (["--leader-elect-lease-duration=5"], 'for "--leader-elect-lease-duration" flag'),
        (["--logging-format=xml"], 'for "--logging-format" flag: must be one of text, json'),
        (["--service-cluster-ip-range=10.0.0.1/16"], 'for "--service-cluster-ip-range" flag'),
        (["--no-such-flag"], "--no-such-flag"),
        (["--port=1"], "--port must not be 1"),
        (["--config=/no/such/file"], 'for "--config" flag'),
    ],
)
def test_a_bad_value_ends_with_2_and_names_the_flag(
    capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    assert message in refused(capsys, *argv)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot: 1", "unknown option 'prot'"),
        ("port: x", 'invalid argument "x" for "--port" flag'),
        ("- a", "must be a mapping"),
        ("{", "--config"),
        ("port: [[1]]", "port: must be a value"),
        ("port: !!timestamp abc", "--config"),
        ("port: !!int abc", "--config"),
        ("port: 1\nport: 2", "'port' is repeated"),
        ("[" * 5000, "--config"),
    ],
)
def test_a_bad_config_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    [line] = refused(capsys, f"--config={file}").splitlines()
    assert message in line


def test_a_config_file_must_be_a_regular_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Opening a FIFO would wait for a writer."""
    os.mkfifo(tmp_path / "config")
    assert "not a regular file" in refused(capsys, f"--config={tmp_path / 'config'}")


def test_a_required_flag_must_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Needy(Options):
        server: str = option(help="Whom to ask.")

    with pytest.raises(SystemExit):
        parse(Needy, "needy", argv=[])
    assert "--server is required" in capsys.readouterr().err
    assert parse(Needy, "needy", argv=["--server=a"]).server == "a"


def test_help_begins_with_the_daemons_own_flags(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read("--help")
    text = capsys.readouterr().out
    assert text.index("--leader-elect") < text.index("--port") < text.index("--config") < text.index("--logging-format")


def test_help_shows_groups_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        read("--help")
    text = capsys.readouterr().out
    assert exit.value.code == 0
    for part in (
        "Leader election:",
        "Storage:",
        "Logging:",
        "(default 15s)",
        "(default 10.0.0.0/16)",
        "One of text, json",
    ):
        assert part in text
