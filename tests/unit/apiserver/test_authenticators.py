"""Who a request's credentials say it comes from."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from apimachinery import errors
from apimachinery.core import bootstrap_tokens
from apimachinery.core.bootstrap_tokens import AUTHENTICATION, SIGNING, Token
from apimachinery.types.core_v1 import Secret
from apimachinery.types.objects import KubeObject
from apiserver.authentication.authenticators import X509, Credentials, TokenFile, Union
from apiserver.authentication.bootstrap_tokens import BootstrapTokens
from component_base.client_certificates import ClientCertificate


def presenting(common_name: str, *organizations: str, life: float = 60.0, token: str = "") -> Credentials:
    """``life`` is in seconds from now."""
    now = time.time()
    certificate = ClientCertificate(common_name, organizations, b"", now - 60.0, now + life)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return Credentials(headers, {"tls": {"client_certificate": certificate}})


def test_a_certificate_names_its_user_and_groups() -> None:
    user = X509().authenticate(presenting("alice", "dev"))
    assert user is not None
    assert (user.name, user.groups) == ("alice", ("dev", "system:authenticated"))


def test_a_certificate_without_a_common_name_names_nobody() -> None:
    assert X509().authenticate(presenting("", "system:masters")) is None
    assert Union([X509()]).authenticate(presenting("", "system:masters")) is None


def test_a_token_that_nobody_recognizes_is_not_the_same_as_none() -> None:
    with pytest.raises(errors.Unauthorized):
        Union([X509()]).authenticate(Credentials({"authorization": "Bearer sesame"}, {}))
    assert Union([X509()]).authenticate(Credentials({"authorization": "Basic YTpi"}, {})) is None


TOKEN = Token("abcdef", "0123456789abcdef")
HOUR = timedelta(hours=1)


def bearing(token: str, audiences: tuple[str, ...] = ()) -> Credentials:
    return Credentials({"authorization": f"Bearer {token}"}, {}, audiences)


def bootstrap(*secrets: Secret) -> BootstrapTokens:
    """What knows these secrets."""

    def find(type: type, namespace: str, name: str) -> KubeObject | None:
        assert (type, namespace) == (Secret, "kube-system")
        return next((secret for secret in secrets if secret.metadata.name == name), None)

    return BootstrapTokens(find)


def secret_for(token: Token, life: timedelta = HOUR, usages: tuple[str, ...] = (AUTHENTICATION,)) -> Secret:
    return bootstrap_tokens.secret_for(token, datetime.now(UTC) + life, usages=usages)


def test_a_bootstrap_token_names_its_user_and_groups() -> None:
    user = bootstrap(secret_for(TOKEN)).authenticate(bearing(str(TOKEN)))
    assert user is not None
    assert user.name == "system:bootstrap:abcdef"
    assert user.groups == (
        "system:bootstrappers",
        "system:bootstrappers:kubeadm:default-node-token",
        "system:authenticated",
    )


def deleted(secret: Secret) -> Secret:
    secret.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    return secret


@pytest.mark.parametrize(
    "secrets",
    [
        (),
        (secret_for(TOKEN, life=-HOUR),),
        (secret_for(TOKEN, usages=(SIGNING,)),),
        (secret_for(Token(TOKEN.id, "fedcba9876543210")),),
        (deleted(secret_for(TOKEN)),),
    ],
    ids=["unknown", "expired", "for signing only", "another secret", "being deleted"],
)
def test_a_bootstrap_token_that_is_not_valid_is_nobodys(secrets: tuple[Secret, ...]) -> None:
    assert bootstrap(*secrets).authenticate(bearing(str(TOKEN))) is None


def test_a_bootstrap_token_is_for_the_api_alone_and_other_tokens_are_not_looked_up() -> None:
    assert bootstrap(secret_for(TOKEN)).authenticate(bearing(str(TOKEN), ("vault",))) is None
    assert bootstrap(secret_for(TOKEN)).authenticate(bearing("sesame")) is None


def test_a_certificate_that_has_expired_names_nobody() -> None:
    authenticator = X509()
    assert authenticator.authenticate(presenting("alice")) is not None
    with pytest.raises(errors.Unauthorized):
        authenticator.authenticate(presenting("alice", life=-1.0))


def test_a_good_token_counts_beside_a_certificate_that_has_expired(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text("sesame,bob,1\n")
    union = Union([X509(), TokenFile(tokens)])
    user = union.authenticate(presenting("alice", life=-1.0, token="sesame"))
    assert user is not None
    assert user.name == "bob"
    for token in ("", "wrong"):
        with pytest.raises(errors.Unauthorized):
            union.authenticate(presenting("alice", life=-1.0, token=token))
