"""What ``official.py`` does, with kubernetes_asyncio."""

import asyncio
import sys

from kubernetes_asyncio import client, config, watch
from kubernetes_asyncio.stream import WsApiClient

namespace, name = sys.argv[1:]


async def main() -> None:
    await config.load_kube_config()
    async with client.ApiClient() as connection, watch.Watch() as events:
        api = client.CoreV1Api(connection)
        async for event in events.stream(api.list_namespaced_pod, namespace, timeout_seconds=30):
            if event["object"].metadata.name == name:
                print(event["type"], name)
                break
        print(await api.read_namespaced_pod_log(name, namespace, follow=False, tail_lines=1), end="")
    streams = {"stdin": False, "stdout": True, "stderr": True, "tty": False}
    command = ["echo", "hello from a container"]
    async with WsApiClient() as connection:
        api = client.CoreV1Api(connection)
        print(await api.connect_get_namespaced_pod_exec(name, namespace, command=command, **streams), end="")


asyncio.run(main())
