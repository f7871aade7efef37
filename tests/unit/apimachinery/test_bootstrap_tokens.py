"""What a secret must say to be a bootstrap token."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from apimachinery import meta
from apimachinery.core import bootstrap_tokens
from apimachinery.core.bootstrap_tokens import AUTHENTICATION, SIGNING, Token, Unusable
from apimachinery.types.core_v1 import Secret

NOW = datetime(2026, 7, 1, tzinfo=UTC)
TOKEN = Token("abcdef", "0123456789abcdef")


def changed(**values: str | None) -> Secret:
    """The secret of the token with other values (names with _ for -); None removes one."""
    secret = bootstrap_tokens.secret_for(TOKEN, NOW + timedelta(hours=1))
    data = dict(secret.data or {})
    for name, value in values.items():
        key = name.replace("_", "-")
        data.pop(key, None)
        if value is not None:
            data[key] = base64.b64encode(value.encode()).decode()
    secret.data = data
    return secret


def test_a_generated_token_is_read_back_from_its_secret() -> None:
    token = Token.generate()
    secret = bootstrap_tokens.secret_for(token, NOW, description="for the fourth node")
    known = bootstrap_tokens.read(secret)
    assert (known.token, known.expiration, known.usages) == (token, NOW, {AUTHENTICATION, SIGNING})
    assert known.groups == ("system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token")
    assert (meta.namespace_of(secret), meta.name_of(secret)) == ("kube-system", f"bootstrap-token-{token.id}")
    assert Token.parse(str(token)) == token


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abcdef",
        "abcdef.",
        "abcdef.0123456789abcde",
        "ABCDEF.0123456789abcdef",
        "abcdef.0123456789abcdef\n",
        "a.b.c",
    ],
)
def test_what_has_another_form_is_no_token(text: str) -> None:
    assert Token.parse(text) is None


def test_it_expires_at_its_time_or_never() -> None:
    known = bootstrap_tokens.read(changed())
    assert not known.is_expired(NOW)
    assert known.is_expired(NOW + timedelta(hours=1, seconds=1))
    assert not bootstrap_tokens.read(changed(expiration=None)).is_expired(NOW + timedelta(days=9999))


def test_a_usage_counts_only_if_it_is_true() -> None:
    assert bootstrap_tokens.read(changed(usage_bootstrap_signing="True")).usages == {AUTHENTICATION}
    assert bootstrap_tokens.read(changed(usage_bootstrap_authentication=None)).usages == {SIGNING}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"expiration": "tomorrow"}, "expiration is not a time"),
        ({"token_id": "ABCDEF"}, "token-id"),
        ({"token_id": "ghijkl"}, "its name is not bootstrap-token-ghijkl"),
        ({"token_secret": None}, "token-secret"),
        ({"auth_extra_groups": "system:masters"}, "system:masters"),
        ({"auth_extra_groups": "system:bootstrappers:a,system:bootstrappers:"}, "auth-extra-groups"),
    ],
)
def test_what_says_something_else_cannot_be_used(values: dict[str, str | None], said: str) -> None:
    with pytest.raises(Unusable, match=said):
        bootstrap_tokens.read(changed(**values))


def test_a_secret_of_another_type_is_none() -> None:
    secret = changed()
    secret.type = "Opaque"
    with pytest.raises(Unusable, match="type"):
        bootstrap_tokens.read(secret)
