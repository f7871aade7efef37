"""Who a request's credentials say it comes from."""

import pytest

from apimachinery import errors
from apiserver.authentication.authenticators import X509, Credentials, Union
from component_base.http_protocol import ClientCertificate


def presenting(common_name: str, *organizations: str) -> Credentials:
    certificate = ClientCertificate(common_name, organizations, b"")
    return Credentials({}, {"tls": {"client_certificate": certificate}})


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
