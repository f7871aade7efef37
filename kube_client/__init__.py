"""How a daemon talks to the apiserver: configuration, REST, informers, work queues, leases, events."""

from kube_client.client import Client
from kube_client.config import Config, load_config
from kube_client.events import EventRecorder
from kube_client.expectations import Expectations
from kube_client.informer import Informer, wait_for_sync
from kube_client.informer_factory import InformerFactory
from kube_client.leaderelection import LeaderElector, LeadershipLost, run_elected
from kube_client.resource import Page, Resource
from kube_client.watch import WatchEvent
from kube_client.workqueue import WorkQueue, process

__all__ = [
    "Client",
    "Config",
    "EventRecorder",
    "Expectations",
    "Informer",
    "InformerFactory",
    "LeaderElector",
    "LeadershipLost",
    "Page",
    "Resource",
    "WatchEvent",
    "WorkQueue",
    "load_config",
    "process",
    "run_elected",
    "wait_for_sync",
]
