"""Streams of a pod's node: logs as they are written; exec, attach and port-forward over an upgraded connection.

What the API calls a subresource has a path and parameters of its own at the kubelet; the rest is relayed.
"""

from typing import Final
from urllib.parse import quote, urlencode

from apimachinery import errors, meta
from apimachinery.core import pod_logs
from apimachinery.core.well_known import DEFAULT_CONTAINER_ANNOTATION
from apimachinery.types.core_v1 import Pod
from apiserver.handlers.http import Request
from apiserver.handlers.proxying.kubelets import Kubelets
from apiserver.handlers.proxying.relay import Changes, relay
from apiserver.handlers.proxying.upstream import Answer
from apiserver.handlers.verbs import Call

# the API's names of exec's parameters, and the kubelet's
_EXEC_PARAMETERS: Final = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}


class KubeletStreams:
    """Serves ``log``, ``exec``, ``attach`` and ``portforward`` of pods."""

    def __init__(self, kubelets: Kubelets) -> None:
        self._kubelets = kubelets

    async def connect(self, call: Call) -> None:
        """Raises NotFound, BadRequest, Invalid, ServiceUnavailable."""
        if call.attributes.subresource == "log":
            pod_logs.log_options(call.request.query, call.key.name)
        pod = (await call.served.get(call.key)).object
        assert isinstance(pod, Pod)
        if not pod.spec.node_name:
            raise errors.BadRequest(f"pod {meta.name_of(pod)} does not have a host assigned")
        kubelet = await self._kubelets.of_node(pod.spec.node_name)
        target = _target(call.request, call.attributes.subresource, pod).encode()
        await relay(call.request, kubelet, target, Changes(answer=_content))


def _content(answer: Answer) -> list[tuple[bytes, bytes]]:
    """The headers of the kubelet's answer that a client gets."""
    return [header for header in answer.headers if header[0] == b"content-type"]


def _target(request: Request, subresource: str, pod: Pod) -> str:
    """The kubelet's own path and query for what the API calls a subresource."""
    place = "/".join(quote(part, safe="") for part in meta.key_of(pod))
    if subresource == "portforward":
        ports = [("port", port) for text in request.query_lists.get("ports", ()) for port in text.split(",")]
        return f"/portForward/{place}?{urlencode(ports)}"
    container = quote(_container(pod, request.query.get("container", "")), safe="")
    if subresource == "log":
        query = {name: request.query[name] for name in pod_logs.PARAMETERS if name in request.query}
        return f"/containerLogs/{place}/{container}?{urlencode(query)}"
    return f"/{subresource}/{place}/{container}?{_exec_query(request)}"


def _container(pod: Pod, name: str) -> str:
    """The container that a request is about; of several the one that it names, or else the pod's default."""
    known = [
        container.name
        for group in (pod.spec.init_containers, pod.spec.containers, pod.spec.ephemeral_containers)
        for container in group or ()
    ]
    pod_name = meta.name_of(pod)
    if name:
        if name not in known:
            raise errors.BadRequest(f"container {name} is not valid for pod {pod_name}")
        return name
    main = [container.name for container in pod.spec.containers]
    default = meta.annotations_of(pod).get(DEFAULT_CONTAINER_ANNOTATION)
    if default in known:
        return str(default)
    if len(main) > 1:
        raise errors.BadRequest(
            f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(main)}]"
        )
    return main[0]


def _exec_query(request: Request) -> str:
    pairs = [("command", word) for word in request.query_lists.get("command", ())]
    pairs += [(theirs, "1") for ours, theirs in _EXEC_PARAMETERS.items() if request.flag(ours)]
    return urlencode(pairs)
