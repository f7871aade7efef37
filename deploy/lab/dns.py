"""The cluster's name server as pods instead of a daemon: from our own image, behind the same fixed address.

What is applied is ``deploy/addons/kube-dns.yaml``, a manifest for any cluster; only what differs between labs is
added to it: the pods' range, and whether there is an outside to forward to.
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
PATIENCE = 60.0
"""Seconds for the pods to be ready."""


def ensure(lab: Lab, client: Api) -> int:
    """End the daemon if it runs, create what is missing, wait for the pods; how many are ready. Raises LabError."""
    processes.stop(lab, [daemons.dns(lab)])
    service = client.get(f"{_CORE}/services/{NAME}")
    if service is not None and not service["spec"].get("selector"):
        client.delete(f"{_CORE}/services/{NAME}")  # the daemon's own
        client.delete(f"{_CORE}/endpoints/{NAME}")
    for document in objects(lab):
        path = f"{_CORE}/{_PLURALS[document['kind']]}"
        present = client.get(f"{path}/{NAME}")
        if present is not None and _arguments_in(present) != _arguments_in(document):
            client.delete(f"{path}/{NAME}?propagationPolicy=Background")  # made while the lab was set differently
            present = None
        if present is None:
            client.create(path, document)
    wait_for(f"the pods of {NAME} to be ready", lambda: _ready(client) >= _wanted(client), PATIENCE)
    return _ready(client)


def remove(client: Api) -> None:
    """Take back what ``ensure`` created, so that the daemon can register itself. Safe to repeat."""
    if client.get(f"{_CORE}/replicationcontrollers/{NAME}") is None:
        return
    client.delete(f"{_CORE}/replicationcontrollers/{NAME}?propagationPolicy=Background")
    client.delete(f"{_CORE}/services/{NAME}")


def objects(lab: Lab) -> list[Object]:
    """The manifest's objects, as this lab needs them."""
    found: list[Object] = [one for one in yaml.safe_load_all((lab.checkout / MANIFEST).read_text()) if one]
    for one in found:
        if one["kind"] == "ReplicationController":
            (container,) = one["spec"]["template"]["spec"]["containers"]
            container["args"] += _arguments(lab)
    return found


def _arguments(lab: Lab) -> list[str]:
    ranges = f"--reverse-ranges={SERVICE_RANGE},{lab.addresses.cluster_cidr}"
    return [ranges] if lab.settings.egress else [ranges, "--resolv-conf="]


def _arguments_in(document: Object) -> list[str]:
    """The command line in a controller's template; nothing in other objects."""
    template = document.get("spec", {}).get("template", {}).get("spec", {})
    return [argument for container in template.get("containers", ()) for argument in container.get("args", ())]


def _ready(client: Api) -> int:
    return len(api.ready_pods(client.items(f"{_CORE}/pods", labelSelector=_SELECTED)))


def _wanted(client: Api) -> int:
    controller = client.get(f"{_CORE}/replicationcontrollers/{NAME}")
    return int(controller["spec"].get("replicas", 1)) if controller else 0
