"""When a pod's token is replaced: after 80 per cent of its lifetime, or a day; if that fails, the old one is used until then."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from apimachinery import errors, meta
from apimachinery.types import core_v1, meta_v1
from apimachinery.types.authentication_v1 import TokenRequest
from kube_client import Client
from kubelet.references.tokens import Tokens

POD = core_v1.Pod(metadata=meta_v1.ObjectMeta(name="p", namespace="n", uid="u"))


class Accounts:
    """Issues numbered tokens, as long as it may."""

    def __init__(self, clock: list[float]) -> None:
        self.clock, self.asked, self.fault = clock, [], False  # type: ignore[var-annotated]

    def resource(self, kind: object) -> "Accounts":
        return self

    async def ask_subresource(self, name: str, sub: str, body: TokenRequest, *, namespace: str) -> TokenRequest:
        if self.fault:
            raise errors.ServiceUnavailable("away")
        self.asked.append((name, body.spec.audiences))
        body.status.token = f"token-{len(self.asked)}"
        ends = self.clock[0] + (body.spec.expiration_seconds or 0)
        body.status.expiration_timestamp = meta.format_time(datetime.fromtimestamp(ends, UTC))
        return body


@pytest.fixture
def clock() -> list[float]:
    return [1_700_000_000.0]


@pytest.fixture
def accounts(clock: list[float]) -> Accounts:
    return Accounts(clock)


@pytest.fixture
def tokens(accounts: Accounts, clock: list[float]) -> Tokens:
    return Tokens(cast(Client, accounts), lambda: clock[0])


def projection(seconds: int = 3600, audience: str = "") -> Any:
    return core_v1.ServiceAccountTokenProjection(path="token", expiration_seconds=seconds, audience=audience)


@pytest.mark.parametrize(
    ("life", "kept_for", "replaced_after"),
    [
        pytest.param(3600, 0.79 * 3600, 0.81 * 3600, id="four fifths of an hour"),
        pytest.param(600, 0.7 * 600, 0.81 * 600, id="four fifths of ten minutes"),
        pytest.param(7 * 86400, 0.99 * 86400, 86400, id="a day of a week"),
    ],
)
async def test_replaced_in_time(
    tokens: Tokens, clock: list[float], life: int, kept_for: float, replaced_after: float
) -> None:
    began = clock[0]
    assert await tokens.of(POD, projection(life)) == "token-1"
    clock[0] = began + kept_for
    assert await tokens.of(POD, projection(life)) == "token-1"
    clock[0] = began + replaced_after
    assert await tokens.of(POD, projection(life)) == "token-2"


async def test_each_audience_has_a_token_of_its_own(tokens: Tokens, accounts: Accounts) -> None:
    assert await tokens.of(POD, projection()) != await tokens.of(POD, projection(audience="vault"))
    assert accounts.asked == [("default", []), ("default", ["vault"])]


async def test_a_failure_leaves_the_old_one_while_it_holds(
    tokens: Tokens, accounts: Accounts, clock: list[float]
) -> None:
    await tokens.of(POD, projection())
    accounts.fault = True
    clock[0] += 3500
    assert await tokens.of(POD, projection()) == "token-1"
    clock[0] += 200
    with pytest.raises(errors.ServiceUnavailable):
        await tokens.of(POD, projection())
