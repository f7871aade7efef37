"""Whether a sandbox is on the bridge, by what the kernel shows of its network namespace."""

from pathlib import Path

from kubelet.network.attachment import is_attached


def devices(proc: Path, pid: int, **peers: int) -> None:
    for name, peer in peers.items():
        folder = proc / str(pid) / "root/sys/class/net" / name
        folder.mkdir(parents=True)
        (folder / "iflink").write_text(f"{peer}\n")


def test_the_other_end_of_one_of_its_devices_is_a_port_of_the_bridge(tmp_path: Path) -> None:
    devices(tmp_path, 1, lo=1, eth0=7)
    devices(tmp_path, 2, lo=1, renamed=8)
    devices(tmp_path, 3, lo=1)
    assert is_attached(1, {7, 8}, tmp_path)
    assert is_attached(2, {7, 8}, tmp_path)
    assert not is_attached(1, {8}, tmp_path)
    assert not is_attached(3, {7, 8}, tmp_path)


def test_a_process_that_has_ended_is_left_alone(tmp_path: Path) -> None:
    assert is_attached(4, {7}, tmp_path)
