"""A client of etcd over the stubs that aetcd ships. Knows nothing of objects and caches."""

from apiserver.storage.etcd.channel import EtcdConfig
from apiserver.storage.etcd.client import Etcd, Status
from apiserver.storage.etcd.requests import KeyValue, Outcome, Range
from apiserver.storage.etcd.watch import Change, Revision

__all__ = ["Change", "Etcd", "EtcdConfig", "KeyValue", "Outcome", "Range", "Revision", "Status"]
