"""Watch a pod until it is there, read its log, and run a command in it: ``python official.py NAMESPACE POD``."""

import sys

from kubernetes import client, config, watch
from kubernetes.stream import stream

namespace, name = sys.argv[1:]
config.load_kube_config()
api = client.CoreV1Api()
for event in watch.Watch().stream(api.list_namespaced_pod, namespace, timeout_seconds=30):
    if event["object"].metadata.name == name:
        print(event["type"], name)
        break
# undecoded, for version 36 returns the text of a Python literal
log = api.read_namespaced_pod_log(name, namespace, follow=False, tail_lines=1, timestamps=False, _preload_content=False)
print(log.data.decode(), end="")
streams = {"stdin": False, "stdout": True, "stderr": True, "tty": False}
command = ["echo", "hello from a container"]
print(stream(api.connect_get_namespaced_pod_exec, name, namespace, command=command, **streams), end="")
