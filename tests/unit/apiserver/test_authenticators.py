"""Who a request's credentials say it comes from."""

import time
from pathlib import Path

import pytest

from apimachinery import errors
from apiserver.authentication.authenticators import X509, Credentials, TokenFile, Union
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
