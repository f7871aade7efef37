"""kube-scheduler: flags, then wiring."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apimachinery import meta
from apimachinery.types.core_v1 import (
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    ReplicationController,
    Service,
)
from apimachinery.types.objects import KubeObject
from apimachinery.types.storage_v1 import StorageClass
from component_base import daemon, health, serving
from component_base.flags import Options, option, parse
from component_base.values import Duration, IPAddress
from kube_client import Client, EventRecorder, Informer, LeaderElector, load_config
from kube_client.identity import identity
from scheduler import framework, metrics
from scheduler.cache import Cache
from scheduler.event_handlers import EventHandlers
from scheduler.plugins import BUILTIN
from scheduler.plugins.selector_spread import NAMESPACE_INDEX
from scheduler.queue import SchedulingQueue
from scheduler.scheduler import Scheduler

NAME = "kube-scheduler"


@dataclass(frozen=True, kw_only=True)
class SchedulerOptions(Options):
    kubeconfig: Path | None = option(
        None, "File that tells how to reach the apiserver; the pod's service account without it."
    )
    scheduler_name: tuple[str, ...] = option(
        ("default-scheduler",), "Values of spec.schedulerName that this scheduler serves."
    )
    disabled_plugins: tuple[str, ...] = option((), "Plugins to leave out, by name.")
    plugin_weights: dict[str, str] = option({}, "Weight of a scoring plugin, by name; 0 silences it.")

    bind_address: IPAddress = option(
        "0.0.0.0", "Address to serve /healthz and /metrics on; all by default.", group="Serving"
    )
    secure_port: int = option(10259, "Port for /healthz and /metrics; 0 for none.", group="Serving")
    tls_cert_file: Path | None = option(
        None, "Certificate to serve with; without it there is no TLS.", group="Serving"
    )
    tls_private_key_file: Path | None = option(None, "Key of that certificate.", group="Serving")

    leader_elect: bool = option(True, "Stand for election, and schedule only while leading.", group="Leader election")
    leader_elect_lease_duration: Duration = option(
        "15s", "How long others wait for a silent leader.", group="Leader election"
    )
    leader_elect_renew_deadline: Duration = option(
        "10s", "How long the leader tries to renew.", group="Leader election"
    )
    leader_elect_retry_period: Duration = option("2s", "Time between tries.", group="Leader election")
    leader_elect_resource_name: str = option(NAME, "Name of the Lease.", group="Leader election")
    leader_elect_resource_namespace: str = option("kube-system", "Namespace of the Lease.", group="Leader election")

    def __post_init__(self) -> None:
        if (self.tls_cert_file is None) != (self.tls_private_key_file is None):
            raise ValueError("--tls-cert-file and --tls-private-key-file go together")
        for name, weight in self.plugin_weights.items():
            if not weight.isdigit():
                raise ValueError(f"--plugin-weights: {name}: not a whole number")


async def run(options: SchedulerOptions) -> None:
    async with AsyncExitStack() as stack:
        if options.secure_port:
            # Listening comes before the election: see identity.
            await stack.enter_async_context(_server(options))
        client = await stack.enter_async_context(Client(load_config(options.kubeconfig), user_agent=NAME))
        await _schedule(options, client)


def _server(options: SchedulerOptions) -> serving.Server:
    tls = None
    if options.tls_cert_file and options.tls_private_key_file:
        tls = serving.TLS(options.tls_cert_file, options.tls_private_key_file)
    address = (str(options.bind_address), options.secure_port)
    return serving.Server(serving.daemon_app(health.Health()), [address], tls=tls)


async def _schedule(options: SchedulerOptions, client: Client) -> None:
    unfinished = "status.phase!=Succeeded,status.phase!=Failed"
    pods = Informer(client.resource(Pod), field_selector=unfinished)
    nodes = Informer(client.resource(Node))
    services = Informer(client.resource(Service), indexes={NAMESPACE_INDEX: _namespace})
    controllers = Informer(client.resource(ReplicationController), indexes={NAMESPACE_INDEX: _namespace})
    recorder = EventRecorder(client, component="default-scheduler")

    cache = Cache()
    queue = SchedulingQueue(clock=asyncio.get_running_loop().time)
    metrics.PendingPods(queue.lengths)
    storage = framework.Storage(
        Informer(client.resource(PersistentVolumeClaim)),
        Informer(client.resource(PersistentVolume)),
        Informer(client.resource(StorageClass)),
        nodes,
    )
    handle = framework.Handle(client, services, controllers, storage)
    plugins = framework.load(BUILTIN, handle, options.disabled_plugins)
    weights = {name: int(weight) for name, weight in options.plugin_weights.items()}
    informers: tuple[Informer[Any], ...] = (
        nodes, services, controllers, storage.claims, storage.volumes, storage.classes, pods,
    )  # fmt: skip
    for informer in (storage.claims, storage.volumes, storage.classes):
        informer.on_change(lambda old, new: queue.move_all())  # what a pod's claim waited for may be there
    handlers = EventHandlers(pods, nodes, cache, queue, options.scheduler_name)
    scheduler = Scheduler(client, pods, cache, queue, framework.Framework(plugins, weights), handlers, recorder)

    async def lead() -> None:
        for informer in informers:
            await informer.synced.wait()
        daemon.freeze()
        await scheduler.run()

    async with asyncio.TaskGroup() as tasks:
        for informer in informers:
            tasks.create_task(informer.run(), name=informer.name)
        tasks.create_task(recorder.run(), name="events")
        await (_elector(options, client).run(lead) if options.leader_elect else lead())


def _elector(options: SchedulerOptions, client: Client) -> LeaderElector:
    return LeaderElector(
        client,
        name=options.leader_elect_resource_name,
        namespace=options.leader_elect_resource_namespace,
        identity=identity(str(options.bind_address), options.secure_port),
        lease_duration=options.leader_elect_lease_duration,
        renew_deadline=options.leader_elect_renew_deadline,
        retry_period=options.leader_elect_retry_period,
    )


def _namespace(obj: KubeObject) -> list[str]:
    return [meta.namespace_of(obj)]


def main() -> None:
    options = parse(SchedulerOptions, NAME, "Gives each pod a node: filters, scores and binds.")
    daemon.run(NAME, run, options)


if __name__ == "__main__":
    main()
