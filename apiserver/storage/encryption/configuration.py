"""The file of ``--encryption-provider-config``: an EncryptionConfiguration of apiserver.config.k8s.io/v1.

    apiVersion: apiserver.config.k8s.io/v1
    kind: EncryptionConfiguration
    resources:
    - resources: [secrets]
      providers:
      - aesgcm:
          keys:
          - name: key1
            secret: <32 random bytes in base64>
      - identity: {}

Kubernetes' providers aescbc, secretbox and kms are refused: what cannot be done must not seem to be.
"""

import base64
import binascii
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import yaml

from apiserver.storage.encryption.providers import AesGcm, Encryption, Identity, Provider, Rule

_API_VERSION: Final = "apiserver.config.k8s.io/v1"
_KIND: Final = "EncryptionConfiguration"
_SIZES: Final = (16, 24, 32)  # bytes of a key
_Name = Annotated[str, msgspec.Meta(min_length=1)]


class _Key(msgspec.Struct, forbid_unknown_fields=True):
    name: _Name
    secret: str


class _Keys(msgspec.Struct, forbid_unknown_fields=True):
    keys: Annotated[list[_Key], msgspec.Meta(min_length=1)]


class _Provider(msgspec.Struct, forbid_unknown_fields=True):
    aesgcm: _Keys | None = None
    identity: dict[str, Any] | None = None


class _Rule(msgspec.Struct, forbid_unknown_fields=True):
    resources: Annotated[list[_Name], msgspec.Meta(min_length=1)]
    providers: Annotated[list[_Provider], msgspec.Meta(min_length=1)]


class _Configuration(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    api_version: str
    kind: str
    resources: Annotated[list[_Rule], msgspec.Meta(min_length=1)]


def read_configuration(path: Path) -> Encryption:
    """Raises ValueError, which never quotes a key, and OSError."""
    try:
        configuration = msgspec.convert(yaml.safe_load(path.read_bytes()), _Configuration)
    except yaml.YAMLError as fault:
        raise ValueError("not YAML") from fault
    if (configuration.api_version, configuration.kind) != (_API_VERSION, _KIND):
        raise ValueError(f"must be an {_KIND} of {_API_VERSION}")
    return Encryption([_rule(rule, f"resources[{i}]") for i, rule in enumerate(configuration.resources)])


def _rule(rule: _Rule, path: str) -> Rule:
    providers = [_provider(provider, f"{path}.providers[{i}]") for i, provider in enumerate(rule.providers)]
    return Rule(frozenset(rule.resources), providers)


def _provider(provider: _Provider, path: str) -> Provider:
    if (provider.aesgcm is None) == (provider.identity is None):
        raise ValueError(f"{path}: must be either aesgcm or identity, as 'identity: {{}}'")
    if provider.aesgcm is None:
        return Identity()
    keys: dict[str, bytes] = {}
    for i, key in enumerate(provider.aesgcm.keys):
        if ":" in key.name or key.name in keys:
            raise ValueError(f"{path}.aesgcm.keys[{i}].name: must be unique, without a colon")
        try:
            secret = base64.b64decode(key.secret, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"{path}.aesgcm.keys[{i}].secret: must be base64") from None
        if len(secret) not in _SIZES:
            raise ValueError(f"{path}.aesgcm.keys[{i}].secret: must be 16, 24 or 32 bytes, in base64")
        keys[key.name] = secret
    return AesGcm(keys)
