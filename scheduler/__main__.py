"""kube-scheduler: flags, then wiring."""

import asyncio
from contextlib import AsyncExitStack

from apimachinery.types.core_v1 import Node, Pod
from component_base import daemon
from component_base.flags import parse
from component_base.health import Health
from component_base.serving import daemon_app
from kube_client import Client, EventRecorder, InformerFactory, load_config, run_elected
from kube_client.certificate_expiry import ExpiryReporter, lease
from kube_client.delegation import EndpointAccess
from kube_client.identity import identity
from scheduler import metrics, plugins
from scheduler.cache import Cache
from scheduler.event_handlers import EventHandlers
from scheduler.framework import Framework, Handle
from scheduler.options import NAME, SchedulerOptions
from scheduler.queue import SchedulingQueue
from scheduler.scheduler import Scheduler

_UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"


async def run(options: SchedulerOptions) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(load_config(options.kubeconfig), user_agent=NAME))
        # Listening comes before the election: see identity.
        access = EndpointAccess.delegated(client)
        server = await stack.enter_async_context(options.serving.serve(daemon_app(Health()), access))
        informers = InformerFactory(client)
        recorder = EventRecorder(client, component="default-scheduler")
        scheduler = _scheduler(options, client, informers, recorder)

        async def lead() -> None:
            await informers.wait_for_sync()
            daemon.freeze()
            await scheduler.run()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(informers.run(), name="informers")
            tasks.create_task(recorder.run(), name="events")
            about = lease(options.election.leader_elect_resource_namespace, options.election.leader_elect_resource_name)
            expiry = ExpiryReporter(recorder, lambda: about, client, server)
            tasks.create_task(expiry.run(), name="certificate-expiry")
            own_identity = identity(str(options.serving.bind_address), options.serving.secure_port)
            await run_elected(client, options.election, own_identity, lead)


def _scheduler(
    options: SchedulerOptions, client: Client, informers: InformerFactory, recorder: EventRecorder
) -> Scheduler:
    nodes, pods = informers.informer(Node), informers.informer(Pod, field_selector=_UNFINISHED)
    cache = Cache()
    queue = SchedulingQueue(clock=asyncio.get_running_loop().time)
    metrics.PendingPods(queue.lengths)
    framework = Framework(plugins.load(Handle(client, informers), options.disabled_plugins), options.weights())
    for type in framework.retry_on:
        informers.informer(type).on_change(lambda old, new: queue.move_all())
    handlers = EventHandlers(pods, nodes, cache, queue, options.scheduler_name)
    return Scheduler(client, pods, cache, queue, framework, handlers, recorder)


def main() -> None:
    daemon.run(NAME, run, parse(SchedulerOptions, NAME, "Assigns each pod to a node: filters, scores and binds."))


if __name__ == "__main__":
    main()
