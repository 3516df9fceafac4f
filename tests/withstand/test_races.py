"""Races changes that end a token or a password against requests that use it or issue more tokens with it.
Once a change has been answered, nothing that it ended passes, however the requests overlap. Each race is run
many times, each time with a user of its own."""

import http.client
import itertools
import json
import random
import threading
import time
from types import SimpleNamespace

import pytest

from service import PASSWORD, serving, sized

TRIES = sized(40, 1000)
RACERS = 3
NEW_PASSWORD = "another long one"


class Caller:
    """Sends requests over one connection that stays open."""

    def __init__(self, service):
        self.connection = http.client.HTTPConnection(*service.address, timeout=20)

    def __call__(self, method, path, token=None, body=None):
        """Returns the status and the body, read as JSON."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith(b"{") else None

    def log_in(self, email, password=PASSWORD, **more):
        return self("POST", "/api/tokens", body={
            "email": email, "password": password, "device_name": "t", **more})

    def passes(self, token):
        """Whether a token passes, by the status of its check."""
        status, _ = self("GET", "/api/user", token)
        assert status in (200, 401), status
        return status == 200


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A server with an administrator, callers, and `user()`, which creates a user with a login."""
    settings = {"login_attempts_per_minute": 1000000, "max_tokens_per_user": 1000}
    with serving(tmp_path_factory.mktemp("races"), **settings) as service:
        service.create_user("root@example.org", "--admin")
        call = Caller(service)
        _, login = call.log_in("root@example.org")
        numbers = itertools.count(1)

        def user(**fields):
            email = f"user{next(numbers)}@example.org"
            account = {"name": "U", "email": email, "password": PASSWORD, **fields}
            status, created = call("POST", "/api/users", login["token"], account)
            assert status == 201, created
            status, own = call.log_in(email)
            assert status == 201, own
            return SimpleNamespace(email=email, path=f"/api/users/{created['data']['id']}",
                                   token=own["token"])

        callers = [Caller(service) for _ in range(RACERS)]
        yield SimpleNamespace(service=service, call=call, root=login["token"], user=user,
                              callers=callers)


def race(world, step, change):
    """Runs `step(caller)` again and again in several threads, and `change()` once among them. Each step
    returns a result, or None if it was refused. Returns the results of the steps that began before the
    change was answered, and those of the steps that began later."""
    steps, changed, failures = [], threading.Event(), []

    def run(caller):
        try:
            while True:
                is_late = changed.is_set()
                result = step(caller)
                steps.append((is_late, result))
                if is_late:
                    return
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(caller,)) for caller in world.callers]
    for thread in threads:
        thread.start()
    time.sleep(random.uniform(0, 0.004))
    change()
    changed.set()
    for thread in threads:
        thread.join()
    assert not failures, failures
    early, late = ([result for is_late, result in steps if is_late == kind and result is not None]
                   for kind in (False, True))
    return early, late


def assert_done(answer, *statuses):
    assert answer[0] in statuses, answer


def issued(answer):
    """The token of an answer; None if the request was refused in a way that races explain."""
    status, body = answer
    assert status in (201, 401, 403, 409, 422, 429), (status, body)
    return body["token"] if status == 201 else None


def issue(caller, token):
    """A token that is issued by another one."""
    return issued(caller("POST", "/api/tokens", token, {"device_name": "child"}))


def assert_dead(world, tokens):
    for token in tokens:
        assert not world.call.passes(token)


# What ends a user's token, and so also those bound to it.
ENDINGS = {
    "its own revocation": lambda world, user: world.call("DELETE", "/api/tokens/current", user.token),
    "the revocation of all": lambda world, user: world.call("DELETE", "/api/tokens", user.token),
    "an administrator": lambda world, user: world.call("DELETE", f"{user.path}/tokens", world.root),
    "a new password": lambda world, user: world.call(
        "PATCH", user.path, world.root, {"password": NEW_PASSWORD}),
    "disabling": lambda world, user: world.call("PATCH", user.path, world.root, {"disabled": True}),
    "deletion": lambda world, user: world.call("DELETE", user.path, world.root),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_token_never_passes_after_what_ended_it(world, ending):
    for _ in range(TRIES):
        user = world.user()
        _, late = race(world, lambda caller: caller.passes(user.token) or None,
                       lambda: assert_done(ENDINGS[ending](world, user), 200, 204))
        assert late == []
        assert_dead(world, [user.token])


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_a_token_issues_while_it_is_ended_is_dead_too(world, ending):
    for _ in range(TRIES):
        user = world.user()
        # A bound token may issue others, and they end with it.
        parent = world.call("POST", "/api/tokens", user.token, {
            "device_name": "parent", "abilities": ["tokens:write"]})[1]["token"]
        holder = SimpleNamespace(token=parent, path=user.path)
        early, late = race(world, lambda caller: issue(caller, parent),
                           lambda: assert_done(ENDINGS[ending](world, holder), 200, 204))
        assert late == []
        assert_dead(world, [parent, *early])


# What makes the password that a login sends useless.
LOCKS = {
    "a new password": lambda world, user: world.call("PUT", "/api/user/password", user.token, {
        "current_password": PASSWORD, "password": NEW_PASSWORD}),
    "an administrator's new password": ENDINGS["a new password"],
    "disabling": ENDINGS["disabling"],
    "deletion": ENDINGS["deletion"],
}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_login_that_overlaps_the_end_of_its_password_gives_no_live_token(world, lock):
    for _ in range(TRIES):
        user = world.user()
        early, late = race(world, lambda caller: issued(caller.log_in(user.email)),
                           lambda: assert_done(LOCKS[lock](world, user), 200, 204))
        assert late == []
        assert_dead(world, early)


def test_of_new_passwords_that_are_sent_at_once_one_is_set(world):
    for _ in range(TRIES):
        user, answers = world.user(), {}
        passwords = [f"{NEW_PASSWORD} {number}" for number in range(RACERS)]

        def change(caller, password):
            answers[password] = caller("PUT", "/api/user/password", user.token, {
                "current_password": PASSWORD, "password": password})

        at_once(change, world.callers, passwords)
        # Each needs the password that the first of them replaces.
        done = [password for password, (status, _) in answers.items() if status == 204]
        assert len(done) == 1 and {status for status, _ in answers.values()} <= {204, 401, 409, 422}
        for password in [PASSWORD, *passwords]:
            status, _ = world.call.log_in(user.email, password)
            assert status == (201 if password in done else 401), password


def at_once(step, *arguments):
    """Runs a step in one thread for each of its arguments."""
    barrier, failures = threading.Barrier(len(arguments[0])), []

    def run(*own):
        barrier.wait()
        try:
            step(*own)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=own) for own in zip(*arguments)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_abilities_that_were_taken_away_are_never_granted_again(world):
    for _ in range(TRIES):
        user = world.user()

        def step(caller):
            status, _ = caller("GET", "/api/verify?ability=posts:write", user.token)
            assert status in (200, 403), status
            return True if status == 200 else None

        change = lambda: assert_done(
            world.call("PATCH", user.path, world.root, {"abilities": ["posts:read"]}), 200)
        _, late = race(world, step, change)
        assert late == []


def test_an_administrator_who_was_demoted_changes_nothing_more(world):
    victim = world.user()
    for number in range(TRIES):
        boss = world.user(admin=True)
        names = itertools.count()

        def step(caller):
            name = f"{number} {next(names)}"
            status, _ = caller("PATCH", victim.path, boss.token, {"name": name})
            assert status in (200, 403, 409), status
            return name if status == 200 else None

        change = lambda: assert_done(world.call("PATCH", boss.path, world.root, {"admin": False}), 200)
        early, late = race(world, step, change)
        assert late == []
        _, shown = world.call("GET", victim.path, world.root)
        assert not early or shown["data"]["name"] in early


def test_two_administrators_who_demote_each_other_leave_one(tmp_path):
    with serving(tmp_path, login_attempts_per_minute=1000000) as service:
        emails = ["a@example.org", "b@example.org"]
        for email in emails:
            service.create_user(email, "--admin")
        callers = [Caller(service) for _ in emails]
        tokens = [service.issue(email, "admin") for email in emails]
        # Ada has the id 1.
        paths = ["/api/users/2", "/api/users/3"]
        for _ in range(TRIES):
            statuses = []

            def demote(caller, token, path):
                statuses.append(caller("PATCH", path, token, {"admin": False})[0])

            at_once(demote, callers, tokens, reversed(paths))
            assert sorted(statuses) in ([200, 403], [200, 409], [200, 422]), statuses
            left = [number for number, (caller, token) in enumerate(zip(callers, tokens))
                    if caller("GET", "/api/users", token)[0] == 200]
            assert len(left) == 1
            restore = {"admin": True}
            assert_done(callers[left[0]]("PATCH", paths[1 - left[0]], tokens[left[0]], restore), 200)


def test_of_equal_emails_that_are_created_at_once_one_is_accepted(world):
    for number in range(TRIES):
        statuses = []

        def create(caller, email):
            account = {"name": "U", "email": email, "password": PASSWORD}
            statuses.append(caller("POST", "/api/users", world.root, account)[0])

        spellings = [f"same{number}@example.org", f"SAME{number}@example.org",
                     f"Same{number}@Example.org"]
        at_once(create, world.callers, spellings)
        assert sorted(statuses) == [201, 422, 422]


def test_no_more_tokens_are_live_than_a_user_may_have(tmp_path):
    most = 5
    with serving(tmp_path, login_attempts_per_minute=1000000, max_tokens_per_user=most) as service:
        parent = service.issue("ada@example.org", "tokens:write", "tokens:read", "x")
        callers = [Caller(service) for _ in range(RACERS)]

        def live():
            return callers[0]("GET", "/api/tokens", parent)[1]["meta"]["total"]

        made = []
        for _ in range(TRIES):
            def step(caller, is_login):
                answer = (caller.log_in("ada@example.org") if is_login else
                          caller("POST", "/api/tokens", parent, {"device_name": "t", "abilities": ["x"]}))
                made.append(issued(answer))

            at_once(step, callers, random.choices([True, False], k=RACERS))
            assert live() <= most
        passing = sum(callers[0].passes(token) for token in made if token)
        assert passing + 1 == live()
