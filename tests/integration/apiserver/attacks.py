"""The most expensive requests that fit the limits, as one user may send them."""

import asyncio
import json
import ssl
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import httpx

from tests.integration.apiserver.objects import config_map

JSON = {"Content-Type": "application/json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
YAML = {"Content-Type": "application/yaml"}

PATH = "/api/v1/namespaces/default/configmaps"
STORED = "stored"
"""A config map of 33 kB with a thousand keys, which the patches are about."""


@dataclass(frozen=True)
class Attack:
    name: str
    method: str
    path: str
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    code: str = "200"
    """How it is answered, if not with 429."""

    def __str__(self) -> str:
        return self.name


def stored() -> dict[str, object]:
    return {"metadata": {"name": STORED}, "data": keys(1000)}


def keys(count: int) -> dict[str, str]:
    return {f"key-{n:06}": "v" for n in range(count)}


def attacks() -> Iterator[Attack]:
    dry, apply = {"dryRun": "All"}, {"dryRun": "All", "fieldManager": "attack", "force": "true"}
    target = f"{PATH}/{STORED}"
    copies = [{"op": "copy", "from": "/data/key-000001", "path": f"/data/x{n}"} for n in range(9999)]
    yield Attack("9,999 copies", "PATCH", target, _json(copies), JSON_PATCH, dry)
    all_copied = [{"op": "copy", "from": "/data", "path": f"/x{n}"} for n in range(20)]
    yield Attack("copies of everything", "PATCH", target, _json(all_copied), JSON_PATCH, dry)
    long = [{"op": "test", "path": "/a" * 1_000_000, "value": 1}]
    yield Attack("a pointer of a million parts", "PATCH", target, _json(long), JSON_PATCH, dry, code="400")
    flow = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\ndata:\n" + b"".join(
        b"  k%06d: v\n" % n for n in range(210_000)
    )
    yield Attack("YAML of 2.8 MB", "PATCH", f"{PATH}/new", flow, APPLY, apply, code="201")
    many = _json({"metadata": {"name": "many"}, "data": keys(90_000)})
    yield Attack("90,000 keys", "POST", PATH, many, JSON, dry, code="201")
    label = _json({"metadata": {"name": "label", "labels": {"x" * 2_000_000: "a"}}})
    yield Attack("a label key of 2 MB", "POST", PATH, label, JSON, dry, code="422")
    # the largest that are still served on the event loop
    yield Attack("many keys", "POST", PATH, _json(config_map("small", **keys(1500))), JSON, dry, code="201")
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [_container(n) for n in range(60)]}}
    yield Attack("many containers", "POST", PATH.replace("configmaps", "pods"), _json(pod), JSON, dry, code="201")
    merge = _json({"metadata": {"labels": {"a": "b"}}})
    yield Attack("a patch of a large object", "PATCH", target, merge, MERGE_PATCH, dry)
    small = b"metadata: {name: small}\ndata:\n" + b"".join(b"  k%d: v\n" % n for n in range(1200))
    yield Attack("YAML", "POST", PATH, small, YAML, dry, code="201")
    yield Attack("a list in YAML", "GET", PATH, headers={"Accept": "application/yaml"})
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    yield Attack("a table", "GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles", headers=table)


def _container(number: int) -> dict[str, object]:
    return {"name": f"c{number}", "image": "x", "env": [{"name": f"e{n}", "value": "x"} for n in range(8)]}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


async def _send(attack: Attack, client: httpx.AsyncClient, end: float, codes: Counter[str]) -> None:
    while time.monotonic() < end:
        try:
            reply = await client.request(
                attack.method, attack.path, content=attack.content, headers=attack.headers, params=attack.params
            )
        except httpx.HTTPError as fault:
            codes[type(fault).__name__] += 1
            return
        codes[str(reply.status_code)] += 1
        if reply.status_code == 429:
            await asyncio.sleep(float(reply.headers["retry-after"]) / 5)


async def _attack(url: str, ca: str, token: str, name: str, connections: int, seconds: float) -> Counter[str]:
    attack = next(attack for attack in attacks() if attack.name == name)
    codes: Counter[str] = Counter()
    context, end = ssl.create_default_context(cafile=ca), time.monotonic() + seconds
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            client = httpx.AsyncClient(
                base_url=url, headers={"Authorization": f"Bearer {token}"}, verify=context, timeout=90
            )
            tasks.create_task(_send(attack, await stack.enter_async_context(client), end, codes))
    return codes


if __name__ == "__main__":  # in a process of its own, so as not to hold up whoever measures
    print(json.dumps(asyncio.run(_attack(*sys.argv[1:5], int(sys.argv[5]), float(sys.argv[6])))))
