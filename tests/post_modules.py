"""Which of the project's modules one POST of a pod enters, from socket to etcd and back: ``python -m tests.post_modules``.

A reader of the write path has to look into that many. Counted in this process, with a real etcd; the first POST warms
up what is imported and cached once, the second is measured.
"""

import asyncio
import json
import ssl
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType

from apiserver.options import ApiserverOptions
from apiserver.server import serve
from component_base.flags import parse
from tests.integration.apiserver_process import TOKEN, ApiserverProcess
from tests.integration.conftest import EtcdServer

CHECKOUT = Path(__file__).resolve().parents[1]
PATH = "/api/v1/namespaces/default/pods"


class Calls(Counter[str]):
    """Calls by module, of the tasks that serve the request: the loops that a server runs anyway have names."""

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        file = Path(frame.f_code.co_filename)
        if event != "call" or not file.is_relative_to(CHECKOUT) or {".venv", "tests"} & set(file.parts):
            return
        try:
            task = asyncio.current_task()
        except RuntimeError:
            task = None
        if task is None or task.get_name().startswith("Task-"):
            self[str(file.relative_to(CHECKOUT))] += 1


def pod(name: str) -> bytes:
    container = {"name": "c", "image": "nginx:1", "ports": [{"containerPort": 80}]}
    return json.dumps(
        {"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"containers": [container]}}
    ).encode()


async def post(port: int, tls: ssl.SSLContext, calls: Calls) -> None:
    """Two POSTs over one connection; the calls of the second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    for name in ("first", "second"):
        body = pod(name)
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n"
        await asyncio.sleep(0.5)  # what the start, or the first object, has set going comes to rest
        sys.setprofile(calls if name == "second" else None)
        writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        sys.setprofile(None)
        assert answer.startswith(b"HTTP/1.1 201"), answer
        length = next(line for line in answer.lower().splitlines() if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
    writer.close()


async def main() -> None:
    calls = Calls()
    with tempfile.TemporaryDirectory() as folder:
        etcd = EtcdServer(Path(folder))
        await etcd.start()
        try:
            server = ApiserverProcess(Path(folder), etcd.url)
            options = parse(ApiserverOptions, "kube-apiserver", argv=server.arguments)
            serving = asyncio.create_task(serve(options), name="serve")
            await server.ready()
            await post(server.port, server.ssl_context(), calls)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        finally:
            etcd.kill()
    for module, count in sorted(calls.items()):
        print(f"{count:6d}  {module}")
    rooms = Counter(module.split("/")[0] for module in calls)
    print(f"{len(calls)} modules ({', '.join(f'{count} of {room}' for room, count in rooms.most_common())})")


if __name__ == "__main__":
    asyncio.run(main())
