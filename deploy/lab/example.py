"""The article's application, image processing: applied when the lab comes up, and proved to answer.

What a person changed or scaled since stays as it is; only what is missing is created.
"""

import time
from pathlib import Path

import yaml

from deploy.images.build import IMAGE_PROCESSING
from deploy.lab import api, engine
from deploy.lab.api import Api, Object, wait_for
from deploy.lab.errors import LabError
from deploy.lab.execute import attempt
from deploy.lab.lab import Lab

NAME = "image-processing"
FOLDER = Path("examples") / NAME
PATHS = {"ReplicationController": api.CONTROLLERS, "Service": api.SERVICES}
PATIENCE = 60.0
"""Seconds for pods to become ready, and for the service to answer."""
_PROBE_IMAGE = "peapod/busybox:1"


def manifests(folder: Path) -> list[Object]:
    """All objects of the folder's files, in the files' order."""
    found: list[Object] = []
    for path in sorted(folder.glob("*.yaml")):
        found += [document for document in yaml.safe_load_all(path.read_text()) if document]
    return found


def apply(client: Api, folder: Path) -> int:
    """Create what is missing of the example; how many objects that were."""
    return sum(client.create(PATHS[document["kind"]], document) for document in manifests(folder))


def wait_ready(client: Api) -> int:
    """Wait until as many pods are ready as the controller asks for; how many those are."""

    def wanted() -> int:
        controller = client.get(f"{api.CONTROLLERS}/{NAME}")
        return int(controller["spec"].get("replicas", 1)) if controller else 0

    def enough() -> bool:
        pods = client.items(api.PODS, labelSelector=f"app={NAME}")
        return len(api.ready_pods(pods)) >= wanted()

    wait_for(f"the pods of {NAME} to be ready", enough, PATIENCE)
    return wanted()


def service_url(client: Api) -> str:
    service = client.get(f"{api.SERVICES}/{NAME}")
    if service is None:
        raise LabError(f"the service {NAME} has gone while the lab came up")
    spec = service["spec"]
    return f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}/"


def prove(lab: Lab, client: Api, node: str) -> str:
    """Fetch the service through its cluster IP from a pod on a node; what answered. Raises LabError."""
    url = service_url(client)
    filters = ("status=running", f"ancestor={IMAGE_PROCESSING}")
    found = engine.containers(lab, node, *filters)
    if not found:
        return _prove_with_pod(client, node, url)
    host = f"unix://{engine.socket_of(lab, node)}"
    command = [engine.DOCKER, "--host", host, "exec", found[0], "timeout", "2", "wget", "-q", "-O", "-", url]
    deadline = time.monotonic() + PATIENCE
    while (answer := attempt(command)).returncode != 0:
        if time.monotonic() > deadline:
            raise LabError(f"from a pod on {node}, {url} does not answer: {answer.stderr.strip()}")
        time.sleep(0.2)
    return answer.stdout.split()[0]


def _prove_with_pod(client: Api, node: str, url: str) -> str:
    """The same from a pod made for it, on a node that none of the application's pods is on."""
    name = f"peapod-proof-{node}"
    path = f"{api.PODS}/{name}"
    command = f"until timeout 2 wget -q -O - {url}; do sleep 0.2; done"
    container = {
        "name": "wget",
        "image": _PROBE_IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", command],
    }
    client.delete(f"{path}?gracePeriodSeconds=0")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"nodeName": node, "restartPolicy": "Never", "containers": [container]},
    }
    wait_for(f"an earlier {name} to go", lambda: client.create(api.PODS, pod), PATIENCE)

    def answered() -> bool:
        current = client.get(path)
        return current is not None and current.get("status", {}).get("phase") == "Succeeded"

    try:
        wait_for(f"{url} to answer from a pod on {node}", answered, PATIENCE)
    finally:
        client.delete(f"{path}?gracePeriodSeconds=0")
    return "the service"
