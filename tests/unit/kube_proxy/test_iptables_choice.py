"""Which back end is taken, and which ones are cleaned up, with back ends that only exist here."""

import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from kube_proxy.iptables import Rule, RuleSet, RuleTables, TablesError, backends, libiptc
from kube_proxy.iptables.backends import Backend, clean_up_everywhere, open_tables
from kube_proxy.iptables.chains import IPTABLES_CHAINS, USERSPACE_CHAINS, Chain


class FakeTables:
    def __init__(self, name: str, cleaned: list[str]) -> None:
        self.name, self._cleaned = name, cleaned

    async def rules(self) -> list[Rule]:
        return []

    async def apply(self, desired: RuleSet, *, verify: bool = True) -> int:
        return 0

    async def cleanup(self) -> int:
        self._cleaned.append(self.name)
        return 0


def backend(name: str, tables: str, cleaned: list[str], reason: str = "") -> Backend:
    """One that cannot be opened if there is a ``reason``."""

    @contextlib.asynccontextmanager
    async def opener(chains: Sequence[Chain]) -> AsyncIterator[RuleTables]:
        if reason:
            raise TablesError(reason)
        yield FakeTables(name, cleaned)

    return Backend(name, tables, opener)


@pytest.fixture
def cleaned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was cleaned up, of four back ends that stand for the real ones."""
    cleaned: list[str] = []
    rows = (
        backend("first", "legacy", cleaned, "no such table"),
        backend("second", "", cleaned),
        backend("third", "nft", cleaned),
        backend("fourth", "legacy", cleaned, "no such command"),
    )
    monkeypatch.setattr(backends, "BACKENDS", rows)
    return cleaned


@pytest.mark.parametrize(("tables", "name"), [("auto", "second"), ("nft", "third")])
async def test_the_first_that_works_and_writes_these_tables_is_taken(
    cleaned: list[str], tables: str, name: str
) -> None:
    async with open_tables(USERSPACE_CHAINS, tables) as opened:
        assert isinstance(opened, FakeTables)
        assert opened.name == name


async def test_where_none_works_every_reason_is_reported(cleaned: list[str]) -> None:
    with pytest.raises(TablesError, match=r"^first: no such table; fourth: no such command$"):
        async with open_tables(USERSPACE_CHAINS, "legacy"):
            pass


async def test_all_that_work_are_cleaned_up_in_reverse(cleaned: list[str]) -> None:
    await clean_up_everywhere()
    assert cleaned == ["third", "second"]


async def test_nothing_to_clean_up_with_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "BACKENDS", (backend("only", "nft", [], "no such command"),))
    with pytest.raises(TablesError, match="only: no such command"):
        await clean_up_everywhere()


async def test_an_error_of_the_user_of_the_tables_does_not_open_others(cleaned: list[str]) -> None:
    with pytest.raises(TablesError, match="later"):
        async with open_tables(USERSPACE_CHAINS):
            raise TablesError("later")


async def test_libiptc_leaves_iptables_mode_to_the_command() -> None:
    with pytest.raises(TablesError, match="take the iptables command"):
        async with libiptc.open_tables(IPTABLES_CHAINS):
            pass


def test_the_flag_has_a_choice_for_every_kind_of_tables() -> None:
    assert backends.CHOICES == ("auto", "legacy", "nft")
