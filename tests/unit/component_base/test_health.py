"""The endpoints, as Kubernetes prints them."""

import httpx

from component_base.health import Health
from component_base.serving import Server, daemon_app


def broken() -> None:
    raise RuntimeError("etcd is away")


async def ready() -> None:
    return None


async def get(health: Health, path: str) -> tuple[int, str]:
    transport = httpx.ASGITransport(daemon_app(health))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.get(path)
        return response.status_code, response.text


async def test_all_is_well() -> None:
    health = Health()
    health.add("informer-sync", ready, live=False)
    assert await get(health, "/healthz") == (200, "ok")
    verbose = "[+]ping ok\n[+]informer-sync ok\nreadyz check passed\n"
    assert await get(health, "/readyz?verbose") == (200, verbose)
    assert await get(health, "/livez?verbose=true") == (200, "[+]ping ok\nlivez check passed\n")


async def test_a_failed_check_fails_the_endpoints_it_belongs_to() -> None:
    health = Health()
    health.add("etcd", broken, live=False)
    text = "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n"
    assert await get(health, "/readyz") == (500, text)
    assert await get(health, "/livez") == (200, "ok")
    assert await get(health, "/readyz?exclude=etcd") == (200, "ok")


async def test_a_single_check_has_its_own_endpoint() -> None:
    health = Health()
    health.add("etcd", broken, live=False)
    assert await get(health, "/healthz/ping") == (200, "ok")
    assert await get(health, "/healthz/etcd") == (500, "internal server error: etcd is away")
    assert (await get(health, "/livez/etcd"))[0] == 404
    assert (await get(health, "/healthz/nothing"))[0] == 404


async def test_a_daemon_serves_health_and_metrics() -> None:
    async with Server(daemon_app(Health()), [("127.0.0.1", 0)]) as server, httpx.AsyncClient() as client:
        base = f"http://127.0.0.1:{server.port}"
        assert (await client.get(f"{base}/healthz")).text == "ok"
        metrics = await client.get(f"{base}/metrics")
        assert metrics.headers["content-type"].startswith("text/plain")
        assert "process_resident_memory_bytes" in metrics.text
