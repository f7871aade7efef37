"""Bearer tokens, and the two places where a request may carry one.

The usual place is the ``Authorization`` header. A browser can set no header on a WebSocket, so there the token
may come as one of the subprotocols offered: ``base64url.bearer.authorization.k8s.io.<token>``, the token in
base64url without padding, as Kubernetes' apiserver takes it.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final

from apimachinery import errors

_PREFIX: Final = "base64url.bearer.authorization.k8s.io."
_PROTOCOLS: Final = "sec-websocket-protocol"


def token_of(headers: Mapping[str, str]) -> str:
    """The token; "" if there is none. Raises Unauthorized if one is offered that cannot be read."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    if _PROTOCOLS in headers and headers.get("upgrade", "").lower() == "websocket":
        return _offered(_parts(headers[_PROTOCOLS]))
    return ""


def protocols_in(offer: str) -> list[str]:
    """The subprotocols in a ``Sec-WebSocket-Protocol`` header that can be spoken; a token is none of them."""
    return [one for one in _parts(offer) if not one.startswith(_PREFIX)]


def _offered(protocols: Sequence[str]) -> str:
    tokens = [one.removeprefix(_PREFIX) for one in protocols if one.startswith(_PREFIX)]
    if not tokens:
        return ""
    if len(tokens) > 1 or len(tokens) == len(protocols):  # the answer must name a subprotocol, and never the token
        raise errors.Unauthorized("Unauthorized")
    encoded = tokens[0]
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars="-_", validate=True).decode()
    except (binascii.Error, ValueError) as fault:
        raise errors.Unauthorized("Unauthorized") from fault


def _parts(offer: str) -> list[str]:
    return [one.strip() for one in offer.split(",") if one.strip()]
