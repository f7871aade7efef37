"""Gives each namespace a config map ``kube-root-ca.crt`` with the authority that signed the apiserver's certificate.

Pods have it beside their service account's token. A config map that was changed or deleted is restored.
"""

import logging
from contextlib import suppress
from typing import Final, Self

from apimachinery import codec, errors, meta
from apimachinery.core import well_known
from apimachinery.meta import Key
from apimachinery.types.core_v1 import ConfigMap, Namespace
from apimachinery.types.meta_v1 import ObjectMeta
from controller_manager.context import ControllerContext
from controller_manager.serviceaccounts import is_active
from kube_client import WorkQueue, process

log = logging.getLogger(__name__)

ROOT_CA: Final = "kube-root-ca.crt"
_WORKERS: Final = 5
_DESCRIPTION: Final = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class RootCACertPublisher:
    def __init__(self, context: ControllerContext, ca_bundle: str) -> None:
        """``ca_bundle`` is the authority's certificate, in PEM."""
        self._config_maps_api, self._ca_bundle = context.client.resource(ConfigMap), ca_bundle
        self._namespaces = context.informer(Namespace)
        self._published = context.informer(ConfigMap, field_selector=f"metadata.name={ROOT_CA}")
        self._queue = WorkQueue[str]("root_ca_cert_publisher")
        self._namespaces.feed(self._queue, lambda namespace: [meta.name_of(namespace)])
        self._published.feed(self._queue, lambda config_map: [meta.namespace_of(config_map)])

    @classmethod
    def if_published(cls, context: ControllerContext) -> Self | None:
        """None without ``--root-ca-file``."""
        ca_file = context.options.root_ca_file
        return cls(context, ca_file.read_text()) if ca_file is not None else None

    async def run(self) -> None:
        await process(self._queue, self.sync, workers=_WORKERS)

    async def sync(self, namespace: str) -> None:
        if not is_active(self._namespaces.get(Key("", namespace))):
            return
        data, annotations = {"ca.crt": self._ca_bundle}, {well_known.DESCRIPTION_ANNOTATION: _DESCRIPTION}
        published = self._published.get(Key(namespace, ROOT_CA))
        with suppress(errors.AlreadyExists, errors.NotFound):
            if published is None:
                metadata = ObjectMeta(name=ROOT_CA, namespace=namespace, annotations=annotations)
                await self._config_maps_api.create(ConfigMap(metadata=metadata, data=data))
            elif published.data != data:
                changed = codec.copy(published)
                changed.data = data
                changed.metadata.annotations = {**meta.annotations_of(published), **annotations}
                await self._config_maps_api.update(changed)
                log.info("%s/%s: restored", namespace, ROOT_CA)
