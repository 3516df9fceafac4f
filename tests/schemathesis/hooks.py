"""Prepares the server for each call, so that no call affects the next. Each call gets a new token, and a
new account if it changes the account. Valid data is corrected where no schema can express the rules.
"""

import itertools
import json
import os
import urllib.request

import schemathesis
from schemathesis import GenerationMode

ORIGIN = os.environ["FUZZ_ORIGIN"]
PASSWORD = os.environ["FUZZ_PASSWORD"]
ADMIN = os.environ["FUZZ_ADMIN"]
# The users that log in for the calls. No call may delete or disable them.
KEPT = {"1", "2"}
numbers = itertools.count(1)


def post(path, body, token=None):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(ORIGIN + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def log_in(email):
    return post("/api/tokens", {"email": email, "password": PASSWORD, "device_name": "fuzz"})


def new_user():
    """Creates a user that a call may change or delete."""
    email = f"user{next(numbers)}@fuzz.example"
    body = {"name": "Fuzz", "email": email, "password": PASSWORD, "admin": True}
    return post("/api/users", body, log_in(ADMIN)["token"])["data"]


@schemathesis.auth(refresh_interval=None)
class FreshToken:
    def get(self, case, context):
        changes_account = case.path.startswith("/api/user") and case.method == "PUT"
        return log_in(new_user()["email"] if changes_account else ADMIN)["token"]

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context, case, kwargs):
    user = (case.path_parameters or {}).get("id")
    if case.path.startswith("/api/users/") and case.method != "GET" and str(user) in KEPT:
        case.path_parameters["id"] = new_user()["id"]
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    if case.path.endswith("/{token}"):
        # No other answer has the ids of a user and one of their tokens.
        user = new_user()
        token = log_in(user["email"])["access_token"]["id"]
        case.path_parameters.update(id=user["id"], token=token)
    body = case.body
    if not isinstance(body, dict):
        return
    # The limit of a password is in bytes, and the current password must be right.
    if "password" in body:
        body["password"] = cut(body["password"])
    if "current_password" in body:
        body["current_password"] = PASSWORD
    # Which characters are refused depends on their neighbours and on the version of Unicode.
    for field in {"name", "device_name"} & body.keys():
        kept = (c for c in body[field] if c.isprintable() and c < "\u0300")
        body[field] = "".join(kept).strip() or "x"
    # An email must not be taken, and a user who changes their own needs the password.
    if "email" in body and case.path != "/api/tokens":
        body["email"] = f"{next(numbers)}." + body["email"][-180:].lstrip(".")
        if case.path == "/api/user":
            body["current_password"] = PASSWORD


def cut(password):
    return password.encode()[:72].decode(errors="ignore").ljust(8, "x")
