"""Fixtures that several tests share."""

import pytest

from service import serving


@pytest.fixture
def service(tmp_path):
    with serving(tmp_path) as service:
        yield service
