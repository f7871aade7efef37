"""Each namespace has a config map ``kube-root-ca.crt`` with the authority that the apiserver's certificate is from.

Pods find it beside their service account's token. What somebody changes or deletes is put right.
"""

import logging
from contextlib import suppress
from typing import Final

from apimachinery import codec, errors, meta
from apimachinery.meta import Key
from apimachinery.types.core_v1 import ConfigMap, Namespace
from apimachinery.types.meta_v1 import ObjectMeta
from controller_manager.informers import ROOT_CA, Informers
from controller_manager.serviceaccounts import is_active
from kube_client import Client, WorkQueue, process

log = logging.getLogger(__name__)

_DESCRIPTION: Final = "kubernetes.io/description"
_TEXT: Final = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class RootCACertPublisher:
    """``bundle`` is the certificate, in PEM."""

    def __init__(self, client: Client, informers: Informers, bundle: str) -> None:
        self._client, self._bundle = client.resource(ConfigMap), bundle
        self._namespaces, self._published = informers.namespaces, informers.root_cas
        self._queue = WorkQueue[str]("root_ca_cert_publisher")
        self._namespaces.on_change(self._on_namespace)
        self._published.on_change(self._on_published)

    async def run(self, workers: int) -> None:
        await process(self._queue, self.sync, workers=workers)

    async def sync(self, namespace: str) -> None:
        if not is_active(self._namespaces.get(Key("", namespace))):
            return
        wanted, found = {"ca.crt": self._bundle}, self._published.get(Key(namespace, ROOT_CA))
        annotations = {_DESCRIPTION: _TEXT}
        with suppress(errors.AlreadyExists, errors.NotFound):
            if found is None:
                metadata = ObjectMeta(name=ROOT_CA, namespace=namespace, annotations=annotations)
                await self._client.create(ConfigMap(metadata=metadata, data=wanted))
            elif found.data != wanted:
                changed = codec.copy(found)
                changed.data = wanted
                changed.metadata.annotations = {**meta.annotations_of(found), **annotations}
                await self._client.update(changed)
                log.info("%s/%s: put right", namespace, ROOT_CA)

    def _on_namespace(self, old: Namespace | None, new: Namespace | None) -> None:
        if new is not None:
            self._queue.add(meta.name_of(new))

    def _on_published(self, old: ConfigMap | None, new: ConfigMap | None) -> None:
        if one := new or old:
            self._queue.add(meta.namespace_of(one))
