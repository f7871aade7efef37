"""Which credentials an image is pulled with."""

import base64
import json

import pytest

from kubelet.containers.pull_secrets import BadSecret, credentials_for


def config(**auths: dict[str, str]) -> dict[str, bytes]:
    return {".dockerconfigjson": json.dumps({"auths": auths}).encode()}


def user(name: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:p:w".encode()).decode()}


@pytest.mark.parametrize(
    ("image", "registry", "matches"),
    [
        ("reg.io/a:1", "reg.io", True),
        ("reg.io/a:1", "https://reg.io/v1/", True),
        ("reg.io:5000/a", "reg.io:5000", True),
        ("reg.io:5000/a", "reg.io", False),
        ("reg.io/team/a@sha256:00", "reg.io/team", True),
        ("reg.io/teams/a", "reg.io/team", False),
        ("eu.reg.io/a", "*.reg.io", True),
        ("x.eu.reg.io/a", "*.reg.io", False),
        ("busybox", "https://index.docker.io/v1/", True),
        ("me/app", "docker.io", True),
        ("localhost/app", "docker.io", False),
    ],
)
def test_matching(image: str, registry: str, matches: bool) -> None:
    assert bool(credentials_for(image, [config(**{registry: user("u")})])) == matches


def test_the_most_particular_comes_first_and_passwords_keep_their_colons() -> None:
    credentials = credentials_for(
        "reg.io/team/a", [config(**{"reg.io": user("wide")}), config(**{"reg.io/team": user("near")})]
    )
    assert [(credential.username, credential.password) for credential in credentials] == [
        ("near", "p:w"),
        ("wide", "p:w"),
    ]
    assert "p:w" not in repr(credentials)


def test_names_are_read_in_any_case() -> None:
    secret = {".dockerconfigjson": json.dumps({"Auths": {"reg.io": {"Username": "u", "PASSWORD": "p"}}}).encode()}
    [credential] = credentials_for("reg.io/a", [secret])
    assert (credential.username, credential.password) == ("u", "p")


def test_the_older_form_and_plain_fields() -> None:
    secret = {".dockercfg": json.dumps({"reg.io": {"username": "u", "password": "p"}}).encode()}
    assert credentials_for("reg.io/a", [secret])[0].for_engine() == {
        "username": "u",
        "password": "p",
        "serveraddress": "reg.io",
    }


@pytest.mark.parametrize("secret", [{"other": b""}, {".dockercfg": b"no json"}, {".dockerconfigjson": b"[]"}])
def test_what_is_no_pull_secret(secret: dict[str, bytes]) -> None:
    with pytest.raises(BadSecret):
        credentials_for("reg.io/a", [secret])
