"""The README's commands, run as printed."""

import re
import subprocess

from deploy.lab.lab import CHECKOUT
from tests.e2e.lab import Lab


def section(title: str) -> list[str]:
    text = (CHECKOUT / "README.md").read_text()
    body = text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^    (\S.*)$", body, re.MULTILINE)


def run(lab: Lab, commands: list[str]) -> str:
    """Run the commands in one shell, in the order of the page; only the state folder is replaced by this lab's."""
    script = "\n".join(["set -eu", *(f"echo; echo '--- {n}'\n{line}" for n, line in enumerate(commands))])
    script = script.replace(".peapod/", f".peapod-{lab.name}/")
    done = subprocess.run(["bash", "-c", script], cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tour_with_kubectl(lab: Lab) -> None:
    lab.ready_pods("app=image-processing", 3)
    output = run(lab, section("A tour"))
    assert "IMAGE_PROCESSING_SERVICE_HOST=10.0." in output
    assert output.count("image-processing-") > 10
    assert "replicationcontroller/image-processing scaled" in output
    assert re.search(r'^\[pod/image-processing-\S+\] \S+ "GET /', output, re.MULTILINE)  # a request in a log
    # the page leaves relabelled pods behind
    lab.kubectl("delete", "pods", "-l", "tier=debug", "--now")
    lab.kubectl("scale", "rc", "image-processing", "--replicas=3")
    lab.ready_pods("app=image-processing,tier=backend", 3)


def test_the_same_with_curl(lab: Lab) -> None:
    output = run(lab, section("The same with curl"))
    outputs = re.split(r"^--- \d+$", output, flags=re.MULTILINE)[1:]
    created, listed, running, watched, patched, scaled, deleted, refused = outputs[1:]
    assert '"name":"shell"' in created
    assert '"name":"shell"' in listed
    assert '"name":"shell"' not in running
    assert '"type":"ADDED"' in watched
    assert '"environment":"production"' in patched
    assert '"kind":"Scale"' in scaled
    assert '"name":"shell"' in deleted
    assert '"field":"spec.ports[0].port"' in refused
    assert '"code":422' in refused
