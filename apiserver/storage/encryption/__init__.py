"""Encryption of objects at rest: what etcd holds of each resource, as ``--encryption-provider-config`` says.

providers.py      values of etcd sealed and opened: AES-GCM, or plain
configuration.py  the file of the flag
"""

from apiserver.storage.encryption.configuration import read_configuration
from apiserver.storage.encryption.providers import NO_ENCRYPTION, AesGcm, Encryption, Identity, Rule, Unreadable

__all__ = ["NO_ENCRYPTION", "AesGcm", "Encryption", "Identity", "Rule", "Unreadable", "read_configuration"]
