"""Introspection and revocation with the client of authlib."""

import time

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url


@pytest.fixture
def metadata(bearerd):
    """The server's metadata at the well-known URL."""
    url = get_well_known_url(f"http://{bearerd.address}", external=True)
    answer = requests.get(url)
    assert answer.status_code == 200
    return AuthorizationServerMetadata(answer.json())


@pytest.fixture
def client(bearerd):
    """A client of a service. Its secret is a token with the ability to introspect."""
    secret = bearerd.token("introspect")
    return OAuth2Session("service", secret, token_endpoint_auth_method="client_secret_basic")


def test_the_metadata_names_the_endpoints(bearerd, metadata):
    base = f"http://{bearerd.address}"
    assert metadata["issuer"] == base
    assert metadata["introspection_endpoint"] == f"{base}/api/introspect"
    assert metadata["revocation_endpoint"] == f"{base}/api/revoke"
    for endpoint in ("introspection", "revocation"):
        methods = metadata[f"{endpoint}_endpoint_auth_methods_supported"]
        assert "client_secret_basic" in methods


def test_the_metadata_are_well_formed(metadata, monkeypatch):
    # There is no HTTPS on loopback.
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    # Not validate() as a whole: without grants there are no response types and no other endpoints.
    for member in ("introspection_endpoint", "introspection_endpoint_auth_methods_supported",
                   "revocation_endpoint", "revocation_endpoint_auth_methods_supported",
                   "grant_types_supported", "service_documentation"):
        assert member in metadata
        getattr(metadata, f"validate_{member}")()


def test_a_live_token_is_described(bearerd, metadata, client):
    token = bearerd.token("posts:read", "mail:*")
    answer = client.introspect_token(metadata["introspection_endpoint"], token=token)
    assert answer.status_code == 200
    described = answer.json()
    now = time.time()
    assert now - 60 < described.pop("iat") <= now < described.pop("exp")
    assert described == {"active": True, "scope": "posts:read mail:*", "client_id": "test",
                         "username": "ada@example.org", "token_type": "Bearer", "sub": "1",
                         "iss": metadata["issuer"]}


def test_a_dead_token_is_reported_only_as_inactive(bearerd, metadata, client):
    token = bearerd.token("posts:read")
    bearerd.revoke(token)
    for dead in (token, "bd_nonsense"):
        for hint in (None, "access_token", "refresh_token"):
            answer = client.introspect_token(metadata["introspection_endpoint"], token=dead,
                                             token_type_hint=hint)
            assert (answer.status_code, answer.json()) == (200, {"active": False})


def test_a_caller_without_the_ability_is_refused(bearerd, metadata):
    token = bearerd.token("posts:read")
    for secret, status in [(bearerd.token("posts:read"), 403), ("bd_nonsense", 401), ("", 401)]:
        client = OAuth2Session("service", secret)
        answer = client.introspect_token(metadata["introspection_endpoint"], token=token)
        assert answer.status_code == status
        assert "active" not in answer.json()
        assert "WWW-Authenticate" in answer.headers


def test_a_revoked_token_is_dead_at_once(bearerd, metadata, client):
    token = bearerd.token("posts:read")
    introspection = metadata["introspection_endpoint"]
    assert client.introspect_token(introspection, token=token).json()["active"] is True
    for _ in range(2):
        answer = client.revoke_token(metadata["revocation_endpoint"], token=token,
                                     token_type_hint="access_token")
        assert answer.status_code == 200
        assert client.introspect_token(introspection, token=token).json() == {"active": False}


def test_a_token_can_be_its_own_secret(bearerd, metadata):
    token = bearerd.token("introspect")
    client = OAuth2Session("service", token)
    introspection = metadata["introspection_endpoint"]
    assert client.introspect_token(introspection, token=token).json()["active"] is True
    assert client.revoke_token(metadata["revocation_endpoint"], token=token).status_code == 200
    assert client.introspect_token(introspection, token=token).status_code == 401
