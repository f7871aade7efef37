"""Bearer tokens from a file: ``token,user,uid,"group1,group2"`` a line, as ``--token-auth-file`` has it."""

import csv
import hashlib
from pathlib import Path

from apimachinery import errors
from apiserver.authentication import ALL_AUTHENTICATED, Credentials
from apiserver.authentication.bearer import token_of
from apiserver.request import User


class TokenFile:
    """The tokens as they stood when the server started."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError if a line does not have at least a token, a user and a uid."""
        self._users: dict[bytes, User] = {}
        with path.open(newline="") as file:
            for number, row in enumerate(csv.reader(file, skipinitialspace=True), start=1):
                if not row or row[0].startswith("#"):
                    continue
                if len(row) < 3 or not row[0] or not row[1]:
                    raise ValueError(f"{path}:{number}: expected token,user,uid and optionally groups")
                groups = tuple(filter(None, row[3].split(","))) if len(row) > 3 else ()
                self._users[_digest(row[0])] = User(row[1], uid=row[2], groups=(*groups, ALL_AUTHENTICATED))

    def authenticate(self, credentials: Credentials) -> User | None:
        token = token_of(credentials.headers)
        if not token:
            return None
        user = self._users.get(_digest(token))
        if user is None:
            raise errors.Unauthorized("Unauthorized")
        return user


def _digest(token: str) -> bytes:
    """Looked up by digest, so that how long a look-up takes tells nothing of the tokens."""
    return hashlib.sha256(token.encode()).digest()
