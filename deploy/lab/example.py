"""The sample application, image processing: created when the lab comes up, and checked to answer.

Only missing objects are created; the user's changes, its scale for example, stay.
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
READY_TIMEOUT = 60.0
"""Seconds for pods to become ready, and for the service to answer."""
_PROBE_IMAGE = "peapod/busybox:1"


def manifests(folder: Path) -> list[Object]:
    """All objects of the folder's files, in the files' order."""
    objects: list[Object] = []
    for path in sorted(folder.glob("*.yaml")):
        objects += [document for document in yaml.safe_load_all(path.read_text()) if document]
    return objects


def apply(client: Api, folder: Path) -> int:
    """Create the example's missing objects. Returns how many."""
    return sum(client.create(PATHS[document["kind"]], document) for document in manifests(folder))


def wait_ready(client: Api) -> int:
    """Wait until all of the controller's replicas are ready. Returns the number of replicas."""

    def replicas() -> int:
        controller = client.get(f"{api.CONTROLLERS}/{NAME}")
        return int(controller["spec"].get("replicas", 1)) if controller else 0

    def enough() -> bool:
        pods = client.items(api.PODS, labelSelector=f"app={NAME}")
        return len(api.ready_pods(pods)) >= replicas()

    wait_for(f"the pods of {NAME} to be ready", enough, READY_TIMEOUT)
    return replicas()


def service_url(client: Api) -> str:
    service = client.get(f"{api.SERVICES}/{NAME}")
    if service is None:
        raise LabError(f"the service {NAME} was deleted while the lab came up")
    spec = service["spec"]
    return f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}/"


def prove(lab: Lab, client: Api, node: str) -> str:
    """Fetch the service through its cluster IP from a pod on a node. Returns what answered. Raises LabError."""
    url = service_url(client)
    filters = ("status=running", f"ancestor={IMAGE_PROCESSING}")
    container_ids = engine.containers(lab, node, *filters)
    if not container_ids:
        return _prove_with_pod(client, node, url)
    host = f"unix://{engine.socket_of(lab, node)}"
    command = [engine.DOCKER, "--host", host, "exec", container_ids[0], "timeout", "2", "wget", "-q", "-O", "-", url]
    deadline = time.monotonic() + READY_TIMEOUT
    while (answer := attempt(command)).returncode != 0:
        if time.monotonic() > deadline:
            raise LabError(f"from a pod on {node}, {url} does not answer: {answer.stderr.strip()}")
        time.sleep(0.2)
    return answer.stdout.split()[0]


def _prove_with_pod(client: Api, node: str, url: str) -> str:
    """The same from a temporary pod, for a node without pods of the application."""
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
    wait_for(f"an earlier {name} to be deleted", lambda: client.create(api.PODS, pod), READY_TIMEOUT)

    def answered() -> bool:
        current = client.get(path)
        return current is not None and current.get("status", {}).get("phase") == "Succeeded"

    try:
        wait_for(f"{url} to answer from a pod on {node}", answered, READY_TIMEOUT)
    finally:
        client.delete(f"{path}?gracePeriodSeconds=0")
    return "the service"
