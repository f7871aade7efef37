"""The cluster's name server as pods instead of a daemon: from our own image, with the same cluster IP.

The manifest is ``deploy/addons/kube-dns.yaml``, which is for any cluster. Only the arguments that differ between labs
are added: the pods' range, and whether queries are forwarded to servers outside.
"""

import yaml

from deploy.lab import api, daemons, processes
from deploy.lab.addresses import SERVICE_RANGE
from deploy.lab.api import Api, Object, wait_for
from deploy.lab.lab import Lab

NAME = "kube-dns"
MANIFEST = "deploy/addons/kube-dns.yaml"
_CORE = "/api/v1/namespaces/kube-system"
_SELECTED = f"k8s-app={NAME}"
_PLURALS = {
    "ReplicationController": "replicationcontrollers",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
}
READY_TIMEOUT = 60.0
"""Seconds for the pods to be ready."""


def ensure(lab: Lab, client: Api) -> int:
    """Stop the daemon, create missing objects, wait for the pods. Returns how many are ready. Raises LabError."""
    processes.stop(lab, [daemons.dns(lab)])
    service = client.get(f"{_CORE}/services/{NAME}")
    if service is not None and not service["spec"].get("selector"):
        client.delete(f"{_CORE}/services/{NAME}")  # the daemon's
        client.delete(f"{_CORE}/endpoints/{NAME}")
    for document in objects(lab):
        path = f"{_CORE}/{_PLURALS[document['kind']]}"
        present = client.get(f"{path}/{NAME}")
        if present is not None and _arguments_in(present) != _arguments_in(document):
            client.delete(f"{path}/{NAME}?propagationPolicy=Background")  # created with other settings
            present = None
        if present is None:
            client.create(path, document)
    wait_for(f"the pods of {NAME} to be ready", lambda: _ready(client) >= _replicas(client), READY_TIMEOUT)
    return _ready(client)


def remove(client: Api) -> None:
    """Delete what ``ensure`` created, so that the daemon can register itself. Safe to repeat."""
    if client.get(f"{_CORE}/replicationcontrollers/{NAME}") is None:
        return
    client.delete(f"{_CORE}/replicationcontrollers/{NAME}?propagationPolicy=Background")
    client.delete(f"{_CORE}/services/{NAME}")


def objects(lab: Lab) -> list[Object]:
    """The manifest's objects, with this lab's arguments."""
    text = (lab.checkout / MANIFEST).read_text()
    documents: list[Object] = [document for document in yaml.safe_load_all(text) if document]
    arguments = [f"--reverse-ranges={SERVICE_RANGE},{lab.addresses.cluster_cidr}"]
    if not lab.settings.egress:
        arguments.append("--resolv-conf=")
    for document in documents:
        if document["kind"] == "ReplicationController":
            (container,) = document["spec"]["template"]["spec"]["containers"]
            container["args"] += arguments
    return documents


def _arguments_in(document: Object) -> list[str]:
    """The arguments in a controller's template; none for other objects."""
    template = document.get("spec", {}).get("template", {}).get("spec", {})
    return [argument for container in template.get("containers", ()) for argument in container.get("args", ())]


def _ready(client: Api) -> int:
    return len(api.ready_pods(client.items(f"{_CORE}/pods", labelSelector=_SELECTED)))


def _replicas(client: Api) -> int:
    controller = client.get(f"{_CORE}/replicationcontrollers/{NAME}")
    return int(controller["spec"].get("replicas", 1)) if controller else 0
