"""Which tokens of an OpenID Connect provider are accepted, and whom they name."""

import json
import ssl
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from apimachinery import errors
from apiserver.authentication.authenticators import Credentials
from apiserver.authentication.oidc import OpenIDTokens, Provider
from apiserver.request import User

ISSUER = "https://provider.example"
KEY, STRANGERS = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
CURVE = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    public: list[dict[str, Any]] = [
        {**jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "rsa", "use": "sig"},
        {**jwt.algorithms.ECAlgorithm.to_jwk(CURVE.public_key(), as_dict=True), "kid": "ec"},
    ]
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": public}))
    return path


def tokens(keys: Path, **more: Any) -> OpenIDTokens:
    provider = Provider(issuer=ISSUER, client_id="peapod", jwks_file=keys, **more)
    return OpenIDTokens(provider, ssl.create_default_context())


def signed(key: Any = KEY, algorithm: str = "RS256", kid: str | None = "rsa", **claims: Any) -> Credentials:
    whole = {"iss": ISSUER, "aud": "peapod", "sub": "ann", "exp": time.time() + 60, **claims}
    headers = {"kid": kid} if kid is not None else {}
    return bearing(jwt.encode(whole, key, algorithm=algorithm, headers=headers))


def bearing(token: str) -> Credentials:
    return Credentials({"authorization": f"Bearer {token}"}, {})


def authenticated(tokens: OpenIDTokens, credentials: Credentials) -> User:
    user = tokens.authenticate(credentials)
    assert user is not None
    return user


def test_the_subject_is_the_user_behind_the_issuers_name(keys: Path) -> None:
    user = authenticated(tokens(keys), signed())
    assert (user.name, user.groups) == (f"{ISSUER}#ann", ("system:authenticated",))


@pytest.mark.parametrize(
    ("settings", "claims", "name"),
    [
        ({"username_prefix": "oidc:"}, {}, "oidc:ann"),
        ({"username_prefix": "-"}, {}, "ann"),
        ({"username_claim": "email"}, {"email": "ann@example.org"}, "ann@example.org"),
        ({"username_claim": "email"}, {"email": "ann@example.org", "email_verified": True}, "ann@example.org"),
        ({"username_claim": "email", "username_prefix": "x:"}, {"email": "a@b"}, "x:a@b"),
        ({"username_claim": "name"}, {"name": "Ann"}, f"{ISSUER}#Ann"),
    ],
)
def test_the_claim_and_its_prefix_make_the_users_name(
    keys: Path, settings: dict[str, Any], claims: dict[str, Any], name: str
) -> None:
    assert authenticated(tokens(keys, **settings), signed(**claims)).name == name


@pytest.mark.parametrize(
    ("groups", "expected"), [(["dev", "ops"], ("g:dev", "g:ops")), ("dev", ("g:dev",)), (None, ())]
)
def test_groups_are_a_list_or_a_single_text(keys: Path, groups: Any, expected: tuple[str, ...]) -> None:
    claims = {} if groups is None else {"groups": groups}
    user = authenticated(tokens(keys, groups_claim="groups", groups_prefix="g:"), signed(**claims))
    assert user.groups == (*expected, "system:authenticated")


def test_a_key_without_a_name_in_the_token_is_found_among_all(keys: Path) -> None:
    assert authenticated(tokens(keys), signed(kid=None)).name.endswith("#ann")
    both = tokens(keys, algorithms=("RS256", "ES256"))
    assert authenticated(both, signed(CURVE, "ES256", "ec")).name.endswith("#ann")


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param(signed(STRANGERS), id="a stranger's signature"),
        pytest.param(signed(kid="other"), id="a key that the provider does not have"),
        pytest.param(signed(KEY, "RS512"), id="an algorithm that is not allowed"),
        pytest.param(signed(CURVE, "ES256", "ec"), id="a key of an algorithm that is not allowed"),
        pytest.param(signed("s" * 32, "HS256"), id="a shared secret"),
        pytest.param(signed(None, "none"), id="no signature"),
        pytest.param(signed(aud="other"), id="another audience"),
        pytest.param(signed(exp=time.time() - 60), id="expired"),
        pytest.param(signed(nbf=time.time() + 3600), id="not valid yet"),
        pytest.param(signed(sub=""), id="no user"),
        pytest.param(signed(sub=["ann"]), id="a user that is no text"),
    ],
)
def test_what_is_not_valid_is_refused(keys: Path, credentials: Credentials) -> None:
    with pytest.raises(errors.Unauthorized):
        tokens(keys).authenticate(credentials)


@pytest.mark.parametrize(
    ("settings", "claims"),
    [
        ({"required_claims": {"hd": "example.org"}}, {}),
        ({"required_claims": {"hd": "example.org"}}, {"hd": "example.com"}),
        ({"username_claim": "email"}, {"email": "ann@example.org", "email_verified": False}),
        ({"username_claim": "email"}, {"email": "ann@example.org", "email_verified": "false"}),
        ({"groups_claim": "groups"}, {"groups": {"dev": True}}),
        ({"groups_claim": "groups"}, {"groups": ["dev", 7]}),
    ],
)
def test_claims_that_do_not_meet_the_flags_are_refused(
    keys: Path, settings: dict[str, Any], claims: dict[str, Any]
) -> None:
    with pytest.raises(errors.Unauthorized):
        tokens(keys, **settings).authenticate(signed(**claims))


@pytest.mark.parametrize(
    "credentials", [signed(iss="https://other.example"), bearing("sesame"), Credentials({}, {})], ids=str
)
def test_what_another_issued_is_left_to_others(keys: Path, credentials: Credentials) -> None:
    assert tokens(keys).authenticate(credentials) is None


@pytest.mark.parametrize("token", ["..", "a.b.c", "ey.ey.ey", "é.é.é"])
def test_a_token_that_cannot_be_read_is_refused(keys: Path, token: str) -> None:
    with pytest.raises(errors.Unauthorized):
        tokens(keys).authenticate(bearing(token))


@pytest.mark.parametrize("text", ["junk", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "none"}]}', '{"keys": 7}'])
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="not a JSON Web Key Set"):
        tokens(path)
