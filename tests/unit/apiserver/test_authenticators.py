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
    with pytest.raises(errors.Unauthorized):
        Union([X509()]).authenticate(presenting("", "system:masters"))
