"""What ``kubectl get`` prints of each kind: the headings, and the cells that are made of something."""

from typing import Any

import pytest

from apimachinery import codec
from tests.kinds import KINDS, METRIC, Kind
from tests.unit.apiserver.registry.rows import body, cells, prepared, row

HEADINGS = {
    "limitranges": "Name, Created At",
    "persistentvolumes": "Name, Capacity, Access Modes, Reclaim Policy, Status, Claim, StorageClass, "
    "VolumeAttributesClass, Reason, Age, VolumeMode",
    "persistentvolumeclaims": "Name, Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, Age, "
    "VolumeMode",
    "podtemplates": "Name, Containers, Images, Pod Labels",
    "resourcequotas": "Name, Request, Limit, Age",
    "serviceaccounts": "Name, Secrets, Age",
    "componentstatuses": "Name, Status, Message, Error",
    "controllerrevisions": "Name, Controller, Revision, Age",
    "daemonsets": "Name, Desired, Current, Ready, Up-to-date, Available, Node Selector, Age, Containers, Images, "
    "Selector",
    "deployments": "Name, Ready, Up-to-date, Available, Age, Containers, Images, Selector",
    "replicasets": "Name, Desired, Current, Ready, Age, Containers, Images, Selector",
    "statefulsets": "Name, Ready, Age, Containers, Images",
    "jobs": "Name, Status, Completions, Duration, Age, Containers, Images, Selector",
    "cronjobs": "Name, Schedule, Timezone, Suspend, Active, Last Schedule, Age, Containers, Images, Selector",
    "horizontalpodautoscalers": "Name, Reference, Targets, MinPods, MaxPods, Replicas, Age",
    "endpointslices": "Name, AddressType, Ports, Endpoints, Age",
    "poddisruptionbudgets": "Name, Min Available, Max Unavailable, Allowed Disruptions, Age",
    "ingresses": "Name, Class, Hosts, Address, Ports, Age",
    "ingressclasses": "Name, Controller, Parameters, Age",
    "networkpolicies": "Name, Pod-Selector, Age",
    "ipaddresses": "Name, ParentRef",
    "servicecidrs": "Name, CIDRs, Age",
    "roles": "Name, Created At",
    "clusterroles": "Name, Created At",
    "rolebindings": "Name, Role, Age, Users, Groups, ServiceAccounts",
    "clusterrolebindings": "Name, Role, Age, Users, Groups, ServiceAccounts",
    "priorityclasses": "Name, Value, Global-Default, Age, PreemptionPolicy",
    "storageclasses": "Name, Provisioner, ReclaimPolicy, VolumeBindingMode, AllowVolumeExpansion, Age",
    "volumeattachments": "Name, Attacher, PV, Node, Attached, Age",
    "volumeattributesclasses": "Name, DriverName, Age",
    "csidrivers": "Name, AttachRequired, PodInfoOnMount, StorageCapacity, TokenRequests, RequiresRepublish, Modes, Age",
    "csinodes": "Name, Drivers, Age",
    "csistoragecapacities": "Name, StorageClassName, Capacity",
    "runtimeclasses": "Name, Handler, Age",
    "certificatesigningrequests": "Name, Age, SignerName, Requestor, RequestedDuration, Condition",
    "mutatingwebhookconfigurations": "Name, Webhooks, Age",
    "validatingwebhookconfigurations": "Name, Webhooks, Age",
    "validatingadmissionpolicies": "Name, Validations, ParamKind, Age",
    "validatingadmissionpolicybindings": "Name, PolicyName, ParamRef, Age",
    "customresourcedefinitions": "Name, Created At",
    "apiservices": "Name, Service, Available, Age",
    "flowschemas": "Name, PriorityLevel, MatchingPrecedence, DistinguisherMethod, Age, MissingPL",
    "prioritylevelconfigurations": "Name, Type, NominalConcurrencyShares, Queues, HandSize, QueueLengthLimit, Age",
}


@pytest.mark.parametrize("plural", HEADINGS)
def test_headings_are_kubernetes_own(plural: str) -> None:
    assert ", ".join(column.name for column in row(plural).columns) == HEADINGS[plural]


@pytest.mark.parametrize("sample", KINDS, ids=str)
def test_cells_are_of_their_columns_type(sample: Kind) -> None:
    obj = prepared(sample.plural, sample.version)
    types = {"integer": int, "boolean": (bool, str)}
    for column in row(sample.plural, sample.version).columns:
        value = column.cell(obj)
        assert isinstance(value, types.get(column.type, (str, bool, int))), (column.name, value)


def seen(plural: str, change: dict[str, Any], version: str = "") -> dict[str, Any]:
    """The cells of the smallest object with a change, status included."""
    obj = prepared(plural, version)
    document = codec.to_builtins(obj)
    for key, value in change.items():
        document[key] = {**document.get(key, {}), **value} if isinstance(value, dict) else value
    return cells(plural, codec.from_builtins(document, type(obj)), version)


PERCENT = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40}}}
TRUE = {"status": "True"}

CELLS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("deployments", {"status": {"readyReplicas": 1, "replicas": 2}}, {"Ready": "1/1", "Selector": "app=a"}),
    ("statefulsets", {"status": {"readyReplicas": 3}}, {"Ready": "3/1", "Images": "busybox:1.36"}),
    ("daemonsets", {}, {"Node Selector": "<none>", "Available": 0}),
    ("jobs", {}, {"Status": "Running", "Completions": "0/1", "Duration": ""}),
    ("jobs", {"status": {
        "conditions": [{"type": "Complete", **TRUE}], "succeeded": 1,
        "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:05:10Z",
    }}, {"Status": "Complete", "Completions": "1/1", "Duration": "5m10s"}),
    ("jobs", {"status": {"conditions": [{"type": "Suspended", **TRUE}]}}, {"Status": "Suspended"}),
    ("cronjobs", {}, {"Timezone": "<none>", "Suspend": "False", "Last Schedule": "<none>", "Selector": "<none>"}),
    ("persistentvolumes", {"spec": {"claimRef": {"namespace": "n", "name": "c"}}}, {
        "Claim": "n/c", "Access Modes": "RWO", "VolumeAttributesClass": "<unset>", "Status": "Pending",
    }),
    ("persistentvolumeclaims", {}, {"Status": "Pending", "Capacity": "", "Access Modes": ""}),
    ("resourcequotas", {"status": {"hard": {"pods": "3", "limits.cpu": "2"}, "used": {"pods": "1"}}}, {
        "Request": "pods: 1/3", "Limit": "limits.cpu: 0/2",
    }),
    ("horizontalpodautoscalers", {"status": {"currentMetrics": [PERCENT]}}, {
        "Targets": "cpu: 40%/50%", "Reference": "Deployment/a", "MaxPods": "3",
    }),
    ("horizontalpodautoscalers", {"spec": {"metrics": [METRIC] * 3}}, {
        "Targets": "cpu: <unknown>/50%, cpu: <unknown>/50% + 1 more...",
    }),
    ("endpointslices", {"ports": []}, {"Ports": "<unset>", "Endpoints": "10.1.2.3"}),
    ("poddisruptionbudgets", {}, {"Min Available": "1", "Max Unavailable": "N/A", "Allowed Disruptions": 0}),
    ("ingresses", {}, {"Class": "<none>", "Hosts": "*", "Address": "", "Ports": "80"}),
    ("ingresses", {"spec": {"tls": [{}], "rules": [{"host": f"{i}.x"} for i in range(5)]}}, {
        "Hosts": "0.x,1.x,2.x + 2 more...", "Ports": "80, 443",
    }),
    ("ingressclasses", {"spec": {"parameters": {"kind": "K", "name": "n", "apiGroup": "g.io"}}}, {
        "Parameters": "K.g.io/n",
    }),
    ("ipaddresses", {}, {"ParentRef": "services/default/a"}),
    ("rolebindings", {}, {"Role": "Role/a", "Users": "u", "Groups": ""}),
    ("storageclasses", {"metadata": {
        "name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    }}, {"Name": "fast (default)"}),
    ("csidrivers", {}, {"TokenRequests": "<unset>", "Modes": "Persistent", "AttachRequired": True}),
    ("certificatesigningrequests", {}, {"Condition": "Pending", "RequestedDuration": "<none>"}),
    ("certificatesigningrequests", {"status": {
        "conditions": [{"type": "Approved", **TRUE}], "certificate": "eA==",
    }}, {"Condition": "Approved,Issued"}),
    ("apiservices", {}, {"Service": "Local", "Available": "True"}),
    ("prioritylevelconfigurations", {}, {"NominalConcurrencyShares": "30", "Queues": "<none>"}),
    ("controllerrevisions", {"metadata": {"name": "a", "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "1", "controller": True},
    ]}}, {"Controller": "daemonset.apps/d", "Revision": "1"}),
]  # fmt: skip


@pytest.mark.parametrize(("plural", "change", "expected"), CELLS)
def test_cells(plural: str, change: dict[str, Any], expected: dict[str, Any]) -> None:
    cells = seen(plural, change)
    assert {name: cells[name] for name in expected} == expected


def test_an_older_version_has_the_same_table() -> None:
    old, new = seen("horizontalpodautoscalers", {}, "v1"), seen("horizontalpodautoscalers", {}, "v2")
    assert old == new
    assert body("horizontalpodautoscalers", "v1") != body("horizontalpodautoscalers", "v2")
