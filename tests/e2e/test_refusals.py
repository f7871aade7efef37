"""Connections to service addresses without endpoints are refused at once and never leave the node."""

import subprocess
import time

import pytest

from tests.e2e.lab import Lab, service, sleeper

NOWHERE = "10.0.123.45"


@pytest.fixture(scope="module")
def client(lab: Lab) -> str:
    lab.apply(sleeper("caller"), service("silent", clusterIP="10.0.0.99", ports=[{"port": 80, "targetPort": 80}]))
    lab.kubectl("wait", "--for=condition=Ready", "pod/caller", "--timeout=30s")
    return "caller"


@pytest.mark.parametrize("place", [f"{NOWHERE}:80", "10.0.0.1:81", "10.0.0.99:80"])
def test_refused_at_once_in_a_pod(lab: Lab, client: str, place: str) -> None:
    began = time.monotonic()
    output = lab.kubectl("exec", client, "--", "sh", "-c", f"wget -qO- http://{place}/; echo code $?")
    assert "code 1" in output
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("place", [f"{NOWHERE}:80", "10.0.0.1:81", "10.0.0.99:80"])
def test_refused_at_once_on_a_node(lab: Lab, client: str, place: str) -> None:
    for node in lab.nodes:
        began = time.monotonic()
        done = lab.in_node(node, "curl", "-sS", "--max-time", "10", f"http://{place}/")
        assert done.returncode in (7, 52, 56), done  # refused or reset, not timed out (28)
        assert time.monotonic() - began < 2


def test_nothing_of_the_service_range_leaves_a_node(lab: Lab, client: str) -> None:
    """The bridge between the machines sees no packet for an address without a service."""
    watch = ["timeout", "5", "tcpdump", "-i", "eth0", "-nn", "-c", "1", "net", "10.0.0.0/16"]
    entered = ["nsenter", f"--net=/run/netns/{lab.lab.namespace('node-1')}", *watch]
    with subprocess.Popen(entered, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sniffer:
        lab.in_node("node-1", "curl", "-sS", "--max-time", "2", f"http://{NOWHERE}/")
        lab.kubectl("exec", client, "--", "sh", "-c", f"nc -w 2 {NOWHERE} 80 </dev/null; true")
        lab.in_node("node-1", "ping", "-c", "1", "-W", "1", NOWHERE)
        output, errors = sniffer.communicate(timeout=10)
    assert "listening on" in errors, errors
    assert output.strip() == ""
