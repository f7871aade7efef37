"""A lab's names, and the settings in its state folder."""

from pathlib import Path

import pytest

from deploy.lab.errors import LabError
from deploy.lab.lab import AS_PROCESS, IN_PODS, Lab, Settings, known_labs, settings_path, validate_name


def test_the_default_lab_has_the_documented_names() -> None:
    lab = Lab("default", Settings(index=0, nodes=2), Path("/src"))
    assert lab.namespaces == ["peapod-net", "peapod-master", "peapod-node-1", "peapod-node-2"]
    assert lab.kubeconfig == Path("/src/.peapod/kubeconfig")
    assert lab.log("node-1", "kubelet") == Path("/src/.peapod/logs/node-1/kubelet.log")
    assert lab.node_address("node-2") == "100.64.0.11"


def test_another_lab_shares_no_name_with_the_default_one() -> None:
    default, other = (Lab(name, Settings(0, 2), Path("/src")) for name in ("default", "x"))
    assert not set(default.namespaces) & set(other.namespaces)
    assert other.state == Path("/src/.peapod-x")
    assert default.run != other.run


@pytest.mark.parametrize("name", ["X", "a b", "../x", "-x", "x-", "x" * 33])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="name"):
        validate_name(name)


def test_no_name_is_the_default_lab() -> None:
    assert validate_name("") == "default"


def test_settings_survive(tmp_path: Path) -> None:
    settings = Settings(index=4, nodes=3, egress=True, dns=IN_PODS)
    settings.save(tmp_path / "new" / "lab.json")
    assert Settings.load(tmp_path / "new" / "lab.json") == settings
    assert Settings.load(tmp_path / "other.json") is None


def test_state_from_before_the_name_server_could_run_as_pods_is_read(tmp_path: Path) -> None:
    path = tmp_path / "lab.json"
    path.write_text('{"index": 4, "nodes": 3, "egress": false}')
    assert Settings.load(path) == Settings(index=4, nodes=3, dns=AS_PROCESS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"index": 16, "nodes": 2, "egress": false}',
        '{"index": 0}',
        '{"index": 1, "nodes": 2, "egress": false, "dns": "other"}',
    ],
)
def test_broken_settings_are_an_error_and_not_a_new_lab(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lab.json"
    path.write_text(text)
    with pytest.raises(LabError, match="make clean"):
        Settings.load(path)


def test_a_checkout_knows_its_labs_that_are_down(tmp_path: Path) -> None:
    for index, name in enumerate(["default", "x", "x-y"]):
        Settings(index, 2).save(settings_path(name, tmp_path))
    assert {name: settings.index for name, settings in known_labs(tmp_path).items()} == {
        "default": 0,
        "x": 1,
        "x-y": 2,
    }
