"""The same rules through both ways of writing them, into the same kernel's two kinds of tables."""

import asyncio
import contextlib
from ipaddress import IPv4Network

import pytest

from kube_proxy.iptables import RuleSet, TablesError, libiptc
from kube_proxy.iptables.backends import clean_up_everywhere, open_tables
from kube_proxy.iptables.chains import IPTABLES_CHAINS, PROXY_PORTS, USERSPACE_CHAINS
from kube_proxy.iptables.command import CommandTables
from kube_proxy.iptables.libiptc import LibiptcTables
from kube_proxy.userspace_rules import Portal, RuleSetBuilder
from tests.integration.kube_proxy.lab import (
    CLUSTER_IP,
    NODE_ADDRESS,
    SERVICE_RANGE,
    Backend,
    Lab,
    endpoints,
    iptables,
    iptables_save,
    running_proxy,
    service,
)
from tests.support import eventually

BACKENDS = ("legacy", "nft")


def rules(count: int = 3) -> RuleSet:
    builder = RuleSetBuilder()
    builder.refuse(SERVICE_RANGE)
    for n in range(count):
        guard = (("192.0.2.9",), (IPv4Network("198.51.100.0/24"),)) if n == 0 else ()
        builder.add_portal(Portal(f"ns/s{n}", "TCP", (f"10.0.0.{n + 5}",), 80, 30000 + n, 20000 + n, *guard))
        builder.add_portal(Portal(f"ns/s{n}:u", "UDP", (f"10.0.0.{n + 5}",), 80, None, 21000 + n))
    return builder.rules


def rules_of(backend: str) -> list[str]:
    return [line for line in iptables_save(backend).splitlines() if line.startswith("-A")]


@pytest.mark.parametrize(("backend", "syncs"), [("legacy", 1000), ("nft", 20), ("nft", 1)])
async def test_many_syncs_leave_no_duplicate(lab: Lab, backend: str, syncs: int) -> None:
    async with open_tables(USERSPACE_CHAINS, backend) as tables:
        assert await tables.apply(rules())
        before = rules_of(backend)
        assert len(before) == len(set(before)) > 20
        for n in range(syncs):
            assert await tables.apply(rules()) == 0
            if n % 50 == 0:  # and with a change between
                await tables.apply(rules(4))
                await tables.apply(rules())
        assert rules_of(backend) == before


async def test_both_write_the_same(lab: Lab) -> None:
    for backend in BACKENDS:
        async with open_tables(USERSPACE_CHAINS, backend) as tables:
            await tables.apply(rules())
    assert sorted(rules_of("legacy")) == sorted(rules_of("nft"))
    await clean_up_everywhere()
    assert rules_of("legacy") == rules_of("nft") == []
    assert "KUBE" not in iptables_save("legacy") + iptables_save("nft")


async def test_the_back_end_is_chosen_by_looking_at_the_host(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_tables(USERSPACE_CHAINS) as tables:
        assert isinstance(tables, LibiptcTables)

    def no_legacy_tables() -> None:
        raise TablesError("can't initialize iptables table `nat': Table does not exist")

    monkeypatch.setattr(libiptc, "_rules", no_legacy_tables)
    for backend in ("auto", "nft"):
        async with open_tables(USERSPACE_CHAINS, backend) as tables:
            assert isinstance(tables, CommandTables)
            await tables.apply(rules())
    assert len(rules_of("nft")) > 20


async def test_iptables_mode_needs_more_than_libiptc_can_express(lab: Lab) -> None:
    async with open_tables(IPTABLES_CHAINS, "legacy") as tables:
        assert isinstance(tables, CommandTables)


async def test_a_host_without_tables_gets_every_reason(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(TablesError, match=r"^iptables-nft: iptables-nft-save: No such file or directory$"):
        async with open_tables(USERSPACE_CHAINS, "nft"):
            pass


async def test_what_others_write_stays_and_what_they_flush_comes_back(lab: Lab) -> None:
    async with open_tables(USERSPACE_CHAINS, "nft") as tables:
        await tables.apply(rules())
        before = rules_of("nft")
        iptables("-t", "nat", "-I", "OUTPUT", "-p", "icmp", "-j", "ACCEPT", backend="nft")
        iptables("-t", "nat", "-F", USERSPACE_CHAINS[0].name, backend="nft")
        iptables("-t", "nat", "-A", USERSPACE_CHAINS[1].name, "-p", "icmp", "-j", "ACCEPT", backend="nft")
        iptables("-D", "FORWARD", "1", backend="nft")
        assert await tables.apply(rules())
        theirs = "-A OUTPUT -p icmp -j ACCEPT"
        assert sorted(rules_of("nft")) == sorted([*before, theirs])


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_change_is_written_without_verifying_unless_it_fails(lab: Lab, backend: str) -> None:
    tables = CommandTables(f"iptables-{backend}", USERSPACE_CHAINS)
    await tables.apply(rules(3))
    iptables("-t", "nat", "-A", USERSPACE_CHAINS[1].name, "-p", "icmp", "-j", "ACCEPT", backend=backend)
    assert await tables.apply(rules(4), verify=False)
    assert any("-p icmp" in line for line in rules_of(backend)), "nothing was verified"
    assert any("ns/s3" in line for line in rules_of(backend))
    assert await tables.apply(rules(4))
    assert not any("-p icmp" in line for line in rules_of(backend)), "verifying repairs"
    assert await tables.apply(rules(4)) == 0
    before = rules_of(backend)
    for table in ("nat", "filter"):
        iptables("-t", table, "-F", backend=backend)
        iptables("-t", table, "-X", backend=backend)
    assert await tables.apply(rules(5), verify=False), "the chains to change are gone, so all are written again"
    assert {line for line in before if PROXY_PORTS.name not in line} < set(rules_of(backend))


async def test_a_service_is_served_through_nft_alone(lab: Lab, backends: list[Backend]) -> None:
    """With its node port, after foreign flushes, and by a restarted proxy on the same ports."""
    node_port = service(type="NodePort")
    assert node_port.spec.ports
    node_port.spec.ports[0].node_port = 30080
    arguments = ([node_port], [endpoints(backends[0].endpoint)])
    async with running_proxy(*arguments, backend="nft", sync_period=0.3):
        for client in (lab.pod, lab.node):
            assert await client.ask(CLUSTER_IP, 1234) == b"a"
            assert await client.ask(NODE_ADDRESS, 30080) == b"a"
        with pytest.raises(ConnectionRefusedError):
            await lab.pod.ask("10.0.0.77", 1234)
        for table in ("nat", "filter"):
            iptables("-t", table, "-F", backend="nft")

        async def answers() -> bool:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(0.3):
                    return await lab.pod.ask(CLUSTER_IP, 1234) == b"a"
            return False

        await eventually(answers, timeout=5)
        redirects = [line for line in rules_of("nft") if "REDIRECT" in line]
    async with running_proxy(*arguments, backend="nft"):
        assert [line for line in rules_of("nft") if "REDIRECT" in line] == redirects
        assert await lab.pod.ask(CLUSTER_IP, 1234) == b"a"
