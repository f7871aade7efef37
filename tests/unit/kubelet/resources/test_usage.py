"""What is read of processes in /proc."""

from pathlib import Path

from kubelet.resources.usage import Traffic, traffic


def test_a_device_that_a_pod_named_with_any_bytes_hides_no_traffic(tmp_path: Path) -> None:
    net = tmp_path / "7" / "net"
    net.mkdir(parents=True)
    counters = b": 100 0 0 0 0 0 0 0 200 0 0 0 0 0 0 0\n"
    (net / "dev").write_bytes(b"Inter-|\n face |\n \xff\xfe" + counters + b" \x1ceth0: 1 2 3\n eth0" + counters)
    assert traffic(7, proc=tmp_path) == Traffic(100, 200)
