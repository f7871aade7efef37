"""Certificates made for the test run, and the event loop that daemons have."""

import ssl

import pytest

from component_base.event_loop import Loop
from component_base.serving import TLS
from tests import certificates
from tests.certificates import KeyPair


def pytest_asyncio_loop_factories(config, item):
    return {"uvloop": Loop}


class Authority(certificates.Authority):
    """A CA, and how its clients connect."""

    def client_context(self, pair: KeyPair | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.cert))
        if pair:
            context.load_cert_chain(pair.cert, pair.key)
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("cluster"), "cluster-ca")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger-ca")


@pytest.fixture(scope="session")
def tls(authority: Authority) -> TLS:
    pair = authority.issue("server", "server")
    return TLS(pair.cert, pair.key, client_ca_file=authority.cert)
