"""``Impersonate-*`` headers: a user who acts as another one, as far as the authorizer allows.

Each thing that is claimed is authorized by itself, with the verb ``impersonate``: the user or service account, every
group, the uid, every value of an extra. The rules are Kubernetes' (endpoints/filters/impersonation.go); a request that
claims groups, a uid or extras without a user is a bad request here, an internal error there.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

from apimachinery import errors
from apiserver.authentication.authenticators import ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS
from apiserver.authorization import Union
from apiserver.handlers.http import Request
from apiserver.request import Attributes, User

_PREFIX: Final = b"impersonate-"
_EXTRA: Final = "impersonate-extra-"
_ACCOUNT: Final = "system:serviceaccount:"
_AUTHENTICATION: Final = "authentication.k8s.io"
_MOST: Final = 200
"""Groups and extras that one request may claim; each costs a decision."""


async def impersonated(request: Request, user: User, authorizer: Union) -> User:
    """Whom the request is made as; without such headers its own user. The headers are gone afterwards.

    Raises:
        BadRequest: groups, a uid or extras are claimed without a user, or too many of them.
        Forbidden: the user may not act as that one.
    """
    claims = [(name, value) for name, value in request.scope["headers"] if name.startswith(_PREFIX)]
    if not claims:
        return user
    request.drop_headers(_PREFIX)
    name, uid, groups, extra = _claimed(claims)
    for attributes in _questions(user, name, uid, groups, extra):
        await authorizer.authorize(attributes)
    return User(name, uid, _with_implied(name, groups), {key: tuple(values) for key, values in extra.items()})


def _claimed(claims: Sequence[tuple[bytes, bytes]]) -> tuple[str, str, list[str], dict[str, list[str]]]:
    """User, uid, groups and extras. Raises BadRequest."""
    name, uid, groups, extra = "", "", list[str](), dict[str, list[str]]()
    if len(claims) > _MOST:
        raise errors.BadRequest(f"at most {_MOST} Impersonate headers are allowed")
    for header, value in ((header.decode("latin-1"), value.decode("latin-1")) for header, value in claims):
        match header:
            case "impersonate-user":
                name = value
            case "impersonate-uid":
                uid = value
            case "impersonate-group":
                groups.append(value)
            case _ if header.startswith(_EXTRA):
                extra.setdefault(unquote(header.removeprefix(_EXTRA)).lower(), []).append(value)
            case _:
                raise errors.BadRequest(f"unknown header {header}: no such thing can be impersonated")
    if not name:
        raise errors.BadRequest("Impersonate-Group, -Uid and -Extra need an Impersonate-User")
    return name, uid, groups, extra


def _questions(user: User, name: str, uid: str, groups: list[str], extra: dict[str, list[str]]) -> list[Attributes]:
    """What has to be allowed."""

    def question(
        resource: str, claimed: str, group: str = "", namespace: str = "", subresource: str = ""
    ) -> Attributes:
        return Attributes(
            user,
            "impersonate",
            "",
            group=group,
            version="v1",
            resource=resource,
            subresource=subresource,
            namespace=namespace,
            name=claimed,
        )

    account = _account(name)
    if account is not None:
        questions = [question("serviceaccounts", account[1], namespace=account[0])]
    else:
        questions = [question("users", name)]
    questions += [question("groups", group) for group in groups]
    if uid:
        questions.append(question("uids", uid, _AUTHENTICATION))
    for key, values in extra.items():
        questions += [question("userextras", value, _AUTHENTICATION, subresource=key) for value in values]
    return questions


def _account(name: str) -> tuple[str, str] | None:
    """Namespace and name of a service account; None for other users."""
    namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
    return (namespace, account) if name.startswith(_ACCOUNT) and namespace and account else None


def _with_implied(name: str, groups: list[str]) -> tuple[str, ...]:
    """With the groups that follow from being that user."""
    account = _account(name)
    if account is not None and not groups:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}"]
    if name == ANONYMOUS.name:
        implied = ALL_UNAUTHENTICATED
    elif ALL_UNAUTHENTICATED in groups:
        return tuple(groups)
    else:
        implied = ALL_AUTHENTICATED
    return (*groups, *(() if implied in groups else (implied,)))
