"""The apiserver as one user, by typed resources."""

from typing import TypeVar

from apimachinery import scheme
from apimachinery.types.objects import KubeObject
from kube_client.resource import Resource
from kube_client.rest import RestClient

T = TypeVar("T", bound=KubeObject)


class Client(RestClient):
    def resource(self, type: type[T], served_as: scheme.Resource | None = None) -> Resource[T]:
        """The collection of all objects of a type.

        Args:
            served_as: which resource, for a type that stands for several: custom resources, metadata alone.
        """
        return Resource(self, type, served_as)
