"""A client certificate says who asks: its common name is the user, its organizations are the groups."""

from apiserver.authentication import ALL_AUTHENTICATED, Credentials
from apiserver.request import User


class X509:
    """Trusts what the TLS handshake verified against the client CA."""

    def __init__(self) -> None:
        self._users: dict[tuple[str, tuple[str, ...]], User] = {}

    def authenticate(self, credentials: Credentials) -> User | None:
        certificate = credentials.extensions.get("tls", {}).get("client_certificate")
        if certificate is None:
            return None
        identity = (certificate.common_name, certificate.organizations)
        user = self._users.get(identity)
        if user is None:
            groups = (*certificate.organizations, ALL_AUTHENTICATED)
            user = self._users[identity] = User(certificate.common_name, groups=groups)
        return user
