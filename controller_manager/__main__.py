"""kube-controller-manager: flags, then wiring."""

import asyncio
from contextlib import AsyncExitStack

from apimachinery.types.core_v1 import Node
from component_base import daemon
from component_base.flags import parse
from component_base.health import Health
from component_base.serving import daemon_app
from controller_manager import manager
from controller_manager.accounts import Accounts
from controller_manager.context import ControllerContext
from controller_manager.options import NAME, ControllerManagerOptions
from host_network.node_routes import NodeRoutes
from kube_client import Client, EventRecorder, InformerFactory, load_config, run_elected
from kube_client.certificate_expiry import ExpiryReporter, lease
from kube_client.delegation import EndpointAccess
from kube_client.identity import identity


async def run(options: ControllerManagerOptions) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(load_config(options.kubeconfig), user_agent=NAME))
        # Listening comes before the election: see identity.
        access = EndpointAccess.delegated(client)
        server = await stack.enter_async_context(options.serving.serve(daemon_app(Health()), access))
        informers = InformerFactory(client)
        recorder = EventRecorder(client, component="controller-manager")
        accounts = None
        if options.use_service_account_credentials:
            accounts = await stack.enter_async_context(Accounts(client, manager.accounts(options.controllers)))
        context = ControllerContext(client, informers, recorder, options, accounts)
        controllers = manager.controllers(context, options.controllers)

        async def lead() -> None:
            await informers.wait_for_sync()
            daemon.freeze()
            await manager.run(controllers)

        async with asyncio.TaskGroup() as tasks:
            if options.nodes.configure_cloud_routes:  # of this machine, whichever process leads
                routes = NodeRoutes(informers.informer(Node), options.nodes.cluster_cidr)
                tasks.create_task(routes.run(), name="routes")
            if accounts is not None:
                tasks.create_task(accounts.run(), name="accounts")
            tasks.create_task(informers.run(), name="informers")
            tasks.create_task(recorder.run(), name="events")
            about = lease(options.election.leader_elect_resource_namespace, options.election.leader_elect_resource_name)
            expiry = ExpiryReporter(recorder, lambda: about, client, server)
            tasks.create_task(expiry.run(), name="certificate-expiry")
            own_identity = identity(str(options.serving.bind_address), options.serving.secure_port)
            await run_elected(client, options.election, own_identity, lead)


def main() -> None:
    description = "Runs the control loops: replication, endpoints, nodes, namespaces, garbage collection."
    daemon.run(NAME, run, parse(ControllerManagerOptions, NAME, description))


if __name__ == "__main__":
    main()
