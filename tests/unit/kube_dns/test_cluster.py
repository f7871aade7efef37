"""When the zone follows the cluster: not before all is known, and from then on with each change."""

import asyncio
from collections.abc import Callable, Hashable, Iterable

import pytest

from apimachinery import meta
from apimachinery.meta import Key
from apimachinery.types import core_v1, discovery_v1, meta_v1
from kube_dns.cluster import Cluster
from kube_dns.endpointslices import index
from kube_dns.records import A, Record
from kube_dns.zone import Zone
from tests.unit.kube_dns.services import addresses_of, service
from tests.unit.kube_dns.test_endpointslices import endpoint, slice_of

WEB = "web.prod.svc.cluster.local"


class Copy:
    """As much of an informer as is read: objects that a test puts and takes, and those told of it."""

    def __init__(self) -> None:
        self.synced = asyncio.Event()
        self._objects: dict[Key, object] = {}
        self._handlers: list[Callable[[object, object], object]] = []

    def put(self, new: object) -> None:
        key = meta.key_of(new)  # type: ignore[arg-type]
        old, self._objects[key] = self._objects.get(key), new
        self._tell(old, new)

    def take(self, key: Key) -> None:
        self._tell(self._objects.pop(key), None)

    def _tell(self, old: object, new: object) -> None:
        for handler in self._handlers:
            handler(old, new)

    def on_change(self, handler: Callable[[object, object], object]) -> None:
        self._handlers.append(handler)

    def get(self, key: Key) -> object:
        return self._objects.get(key)

    def list(self) -> list[object]:
        return [*self._objects.values()]

    def by_index(self, name: str, value: Hashable) -> Iterable[object]:
        return [obj for obj in self._objects.values() if value in index(obj)]  # type: ignore[arg-type]


class World:
    def __init__(self) -> None:
        self.zone, self.services, self.slices, self.namespaces = Zone("cluster.local"), Copy(), Copy(), Copy()
        self.cluster = Cluster(
            self.zone,
            self.services,
            self.slices,
            self.namespaces,  # type: ignore[arg-type]
        )

    async def sync(self) -> None:
        self.services.synced.set()
        self.slices.synced.set()
        self.namespaces.synced.set()
        await self.cluster.run()

    def addresses(self, name: str = WEB) -> tuple[Record, ...] | None:
        answers = self.zone.lookup(name)
        return None if answers is None else addresses_of(answers)


def headless(name: str = "web") -> core_v1.Service:
    return service(name, cluster_ip="None")


def of(name: str, *ips: str, slice_name: str = "web-1") -> discovery_v1.EndpointSlice:
    return slice_of(*map(endpoint, ips), name=slice_name, labels={"kubernetes.io/service-name": name})


@pytest.fixture
async def world() -> World:
    return World()


async def test_a_part_of_a_service_s_endpoints_is_never_shown_as_all(world: World) -> None:
    world.services.put(headless())
    world.services.synced.set()
    running = asyncio.create_task(world.cluster.run())
    world.slices.put(of("web", "10.1.0.1"))
    await asyncio.sleep(0)
    assert world.addresses() is None
    assert not world.cluster.synced.is_set()

    world.slices.put(of("web", "10.1.0.2", slice_name="web-2"))
    world.slices.synced.set()
    world.namespaces.synced.set()
    await running

    assert world.cluster.synced.is_set()
    assert world.addresses() == (Record(A, "10.1.0.1"), Record(A, "10.1.0.2"))


async def test_every_change_shows_at_once(world: World) -> None:
    await world.sync()
    world.slices.put(of("web", "10.1.0.1"))
    assert world.addresses() is None, "a slice without its service"
    world.services.put(headless())
    assert world.addresses() == (Record(A, "10.1.0.1"),)
    world.slices.put(of("web", "10.1.0.2"))
    assert world.addresses() == (Record(A, "10.1.0.2"),)
    world.slices.take(Key("prod", "web-1"))
    assert world.addresses() is None
    world.slices.put(of("web", "10.1.0.3"))
    world.services.take(Key("prod", "web"))
    assert world.addresses() is None


async def test_pods_have_names_in_namespaces_that_exist(world: World) -> None:
    def namespace(name: str) -> core_v1.Namespace:
        return core_v1.Namespace(metadata=meta_v1.ObjectMeta(name=name))

    pod = (Record(A, "10.1.2.3"),)
    world.namespaces.put(namespace("early"))
    assert world.addresses("10-1-2-3.early.pod.cluster.local") is None
    await world.sync()
    assert world.addresses("10-1-2-3.early.pod.cluster.local") == pod
    assert world.addresses("early.svc.cluster.local") == (), "it has no service, but it is there"
    assert world.addresses("10-1-2-3.late.pod.cluster.local") is None
    world.namespaces.put(namespace("late"))
    assert world.addresses("10-1-2-3.late.pod.cluster.local") == pod
    world.namespaces.take(Key("", "late"))
    assert world.addresses("10-1-2-3.late.pod.cluster.local") is None
    assert world.addresses("late.svc.cluster.local") is None


async def test_a_slice_whose_label_changes_moves_from_one_service_to_the_other(world: World) -> None:
    await world.sync()
    for name in ("web", "other"):
        world.services.put(headless(name))
    world.slices.put(of("web", "10.1.0.1"))
    world.slices.put(of("other", "10.1.0.1"))

    assert world.addresses() is None
    assert world.addresses("other.prod.svc.cluster.local") == (Record(A, "10.1.0.1"),)


async def test_a_service_with_an_address_that_is_none_is_left_out_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.sync()
    world.services.put(service("bad", cluster_ip="ten"))
    world.services.put(service())

    assert world.addresses("bad.prod.svc.cluster.local") is None
    assert world.addresses() == (Record(A, "10.0.0.7"),)
    assert "prod/bad: left out" in caplog.text
