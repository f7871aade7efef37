"""The flags about authenticating proxies in front of the apiserver, under Kubernetes' names."""

from dataclasses import dataclass
from pathlib import Path

from apiserver.authentication.front_proxy import Authorities, FrontProxy, RequestHeaders
from component_base.credentials import CERTIFICATES
from component_base.flags import option
from component_base.values import ValueType, at_least_one


def _parse_header(text: str) -> str:
    if not text or not all(sign.isascii() and (sign.isalnum() or sign == "-") for sign in text):
        raise ValueError("must be the name of a header")
    return text.lower()


_HEADERS = at_least_one(ValueType(_parse_header, str, "NAME"))


@dataclass(frozen=True, kw_only=True)
class FrontProxyOptions:
    """Proxies that name the user of a request in headers."""

    requestheader_client_ca_file: Path | None = option(
        None,
        "CA that signs the proxies' client certificates. With it a user's certificate must be signed by --client-ca-file "
        "itself, without an authority in between.",
        type=CERTIFICATES,
    )
    requestheader_allowed_names: tuple[str, ...] = option(
        (), "Common names that their certificates may have; any by default."
    )
    requestheader_username_headers: tuple[str, ...] = option(
        ("x-remote-user",), "Headers with the user's name; the first that there is counts.", type=_HEADERS
    )
    requestheader_group_headers: tuple[str, ...] = option(
        ("x-remote-group",), "Headers with the user's groups.", type=_HEADERS
    )
    requestheader_extra_headers_prefix: tuple[str, ...] = option(
        ("x-remote-extra-",), "Beginnings of the names of headers with more about the user.", type=_HEADERS
    )

    @property
    def headers(self) -> RequestHeaders:
        return RequestHeaders(
            self.requestheader_username_headers,
            self.requestheader_group_headers,
            self.requestheader_extra_headers_prefix,
        )

    def authenticator(self) -> FrontProxy | None:
        if self.requestheader_client_ca_file is None:
            return None
        authorities = Authorities(self.requestheader_client_ca_file)
        return FrontProxy(authorities, self.requestheader_allowed_names, self.headers)
