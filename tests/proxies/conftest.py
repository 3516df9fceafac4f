"""Fixtures that several tests share: servers that are started once."""

from types import SimpleNamespace

import pytest

from sites import SECTIONS, started_bearerd, started_site


@pytest.fixture(scope="session", params=SECTIONS)
def site(request):
    with started_site(request.param) as site:
        yield site


@pytest.fixture(scope="session")
def tokens(site):
    """Tokens that no test revokes, named after their abilities."""
    issue = site.bearerd.token
    return SimpleNamespace(reader=issue("posts:read"), writer=issue("posts:*"),
                           admin=issue("app:admin"), root=issue("*"),
                           elsewhere=issue("git:read", "packages:read"))


@pytest.fixture(scope="session")
def bearerd():
    with started_bearerd() as bearerd:
        yield bearerd


@pytest.fixture(scope="session")
def basic_bearerd():
    with started_bearerd(extra="verify_basic_auth = true\n") as bearerd:
        yield bearerd
