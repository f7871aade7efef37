"""kube-controller-manager: flags, then wiring."""

import asyncio
from contextlib import AsyncExitStack

from component_base import daemon, health, serving
from component_base.flags import parse
from controller_manager import manager
from controller_manager.informers import Informers
from controller_manager.options import NAME, ControllerManagerOptions, ServingOptions
from host_network.node_routes import NodeRoutes
from kube_client import Client, EventRecorder, LeaderElector, load_config
from kube_client.identity import identity


async def run(options: ControllerManagerOptions) -> None:
    async with AsyncExitStack() as stack:
        if options.serving.secure_port:
            # Listening comes before the election: see identity.
            await stack.enter_async_context(_server(options.serving))
        client = await stack.enter_async_context(Client(load_config(options.kubeconfig), user_agent=NAME))
        informers = Informers(client)
        recorder = EventRecorder(client, component="controller-manager")
        running = manager.controllers(options, client, informers, recorder)

        async def lead() -> None:
            await informers.wait()
            daemon.freeze()
            await manager.run(running, informers)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(informers.run(), name="informers")
            tasks.create_task(recorder.run(), name="events")
            if options.nodes.configure_cloud_routes:  # of this machine, whoever leads
                tasks.create_task(NodeRoutes(informers.nodes).run(), name="routes")
            await (_elector(options, client).run(lead) if options.election.leader_elect else lead())


def _server(options: ServingOptions) -> serving.Server:
    tls = None
    if options.tls_cert_file and options.tls_private_key_file:
        tls = serving.TLS(options.tls_cert_file, options.tls_private_key_file)
    address = (str(options.bind_address), options.secure_port)
    return serving.Server(serving.daemon_app(health.Health()), [address], tls=tls)


def _elector(options: ControllerManagerOptions, client: Client) -> LeaderElector:
    election, served = options.election, options.serving
    return LeaderElector(
        client,
        name=election.leader_elect_resource_name,
        namespace=election.leader_elect_resource_namespace,
        identity=identity(str(served.bind_address), served.secure_port),
        lease_duration=election.leader_elect_lease_duration,
        renew_deadline=election.leader_elect_renew_deadline,
        retry_period=election.leader_elect_retry_period,
    )


def main() -> None:
    description = "Runs the control loops: replication, endpoints, nodes, namespaces, garbage collection."
    daemon.run(NAME, run, parse(ControllerManagerOptions, NAME, description))


if __name__ == "__main__":
    main()
