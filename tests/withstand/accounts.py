"""A client of the server that knows what the server must know: after a crash it compares the two.

Each client has a user of its own and does one thing at a time. So at a crash at most one of its acts is
unanswered. That act may have happened or not, but wholly: there are two accounts that the server may then
hold. `Client.worlds` has them, and `Client.observe` finds out which one it is, or that it is neither.
"""

import dataclasses
import http.client
import json
import subprocess
import threading
import urllib.parse

from service import BEARERD, PASSWORD, wait_for

ALL = ("*", "tokens:write")


class Wrong(AssertionError):
    """The server contradicts what it has acknowledged."""


@dataclasses.dataclass(frozen=True)
class Token:
    """A live token. The label is its name, which no other token has; `parent` is the number of the token
    that it is bound to."""

    number: int
    label: str
    kind: str
    parent: int = 0


@dataclasses.dataclass(frozen=True)
class Account:
    """What the server holds of a user."""

    name: str
    password: str
    tokens: frozenset = frozenset()
    disabled: bool = False
    others: frozenset = frozenset()

    def with_token(self, token):
        return dataclasses.replace(self, tokens=self.tokens | {token})

    def without(self, number):
        """Without this token and those that are bound to it."""
        left = (token for token in self.tokens if number not in (token.number, token.parent))
        return dataclasses.replace(self, tokens=frozenset(left))

    def with_only(self, number=None):
        left = (token for token in self.tokens if token.number == number)
        return dataclasses.replace(self, tokens=frozenset(left))

    def renamed_token(self, number, label):
        tokens = (dataclasses.replace(token, label=label) if token.number == number else token
                  for token in self.tokens)
        return dataclasses.replace(self, tokens=frozenset(tokens))

    def numbers(self):
        return {token.number for token in self.tokens}


class Client:
    """`admin` is a token of an administrator; `kills` is how often a command is killed, from 0 to 1."""

    def __init__(self, service, name, admin, random, commands=True, kills=0.3, source="127.0.0.1"):
        self.service, self.admin, self.random, self.source = service, admin, random, source
        self.commands, self.kills = commands, kills
        self.email = f"{name}@example.org"
        self.count = 0
        self.checked = self.acknowledged = self.unanswered = 0
        # The strings of the tokens whose issue was acknowledged, and the ids of all that were listed.
        self.strings, self.ids = {}, {}
        # Tokens to look at after the next crash, beyond the live ones and a sample.
        self.recent = set()
        self.gone = True
        self.connection = None
        account = {"name": name, "email": self.email, "password": PASSWORD}
        answer = self.service.send("POST", "/api/users", admin, account)
        assert answer.status == 201, answer
        self.user = answer.json()["data"]["id"]
        self.worlds = {Account(name, PASSWORD)}

    def known(self):
        """What it knows, for `forget`."""
        return self.worlds.copy(), self.strings.copy(), self.ids.copy()

    def forget(self, known):
        """Goes back to what it knew when the server's files were copied."""
        self.worlds, self.strings, self.ids = (part.copy() for part in known)
        self.recent = set()

    # What is sent.

    def begin(self):
        """Connects to the server, which has started."""
        self.gone, self.connection = False, None

    def ask(self, method, path, token=None, body=None):
        """An answer's status and data, or `None` if none came: then `gone` is set. The second value is
        whether the server can have seen the request."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if isinstance(body, dict):
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        elif body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(
                    *self.service.address, timeout=30, source_address=(self.source, 0))
                self.connection.connect()
        except OSError:
            self.gone, self.connection = True, None
            return None, False
        try:
            self.connection.request(method, path, body, headers)
            response = self.connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            self.gone, self.connection = True, None
            return None, True
        if response.will_close:
            self.connection = None
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        return (response.status, json.loads(text) if is_json and text else None), True

    def check(self, number):
        """The status of a token, or `None` if the server has gone."""
        answer, _ = self.ask("GET", "/api/user", self.strings[number])
        return answer and answer[0]

    def do(self, effect, expected, *request):
        """Sends a request that changes the account, and returns the data of its answer."""
        after = {effect(world) for world in self.worlds}
        answer, sent = self.ask(*request)
        if answer is None:
            if sent:
                self.unanswered += 1
                self.worlds |= after
            return None
        status, data = answer
        if status == expected:
            self.acknowledged += 1
            self.worlds = after
            return data or {}
        if status == 503 and data["code"] == "store_unavailable":
            self.worlds |= after
        elif status not in (429, 503, 409):
            raise Wrong(f"{self.email}: {request[:2]} was answered with {answer}; {self.worlds}")
        return None

    def command(self, effect, *arguments, password=None):
        """Runs a command that changes the account, and kills it now and then. Returns what it printed, or
        `None`."""
        after = {effect(world) for world in self.worlds}
        process = subprocess.Popen(
            [BEARERD, *arguments], cwd=self.service.folder, env=self.service.environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        patience = self.random.uniform(0, 0.15) if self.random.random() < self.kills else 60
        try:
            out, error = process.communicate(password and f"{password}\n", timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.unanswered += 1
            self.worlds |= after
            self.observe()
            return None
        if process.returncode:
            raise Wrong(f"{arguments} ended with {process.returncode}: {error}")
        self.acknowledged += 1
        self.worlds = after
        return out

    # What it does.

    @property
    def world(self):
        (world,) = self.worlds
        return world

    def next_number(self):
        self.count += 1
        return self.count

    def act(self):
        """Does something. The server may go meanwhile."""
        if len(self.worlds) > 1:
            self.observe()
            return
        world = self.world
        if world.disabled:
            return self.enable()
        usable = [token for token in world.tokens if token.number in self.strings]
        logins = [token for token in usable if token.kind == "login"]
        if not logins:
            return self.log_in()
        token = self.random.choice(logins)
        acts = [(self.log_in, 4), (self.issue, 4), (self.look, 8), (self.rename_token, 2),
                (self.rename, 2), (self.log_out, 2), (self.revoke, 2), (self.revoke_by_string, 2),
                (self.revoke_all, 1), (self.change_password, 1), (self.create_other, 1),
                (self.disable, 1)]
        if self.commands:
            acts += [(self.issue_on_command_line, 1), (self.set_password, 0.5)]
        if len(usable) > 30:
            acts = [(self.revoke_all, 1), (self.log_out, 5), (self.change_password, 1)]
        act, = self.random.choices([act for act, _ in acts], [weight for _, weight in acts])
        return act(world, usable, token)

    def log_in(self, *_):
        number, password = self.next_number(), self.world.password
        body = {"email": self.email, "password": password, "device_name": f"t{number}"}
        token = Token(number, f"t{number}", "login")
        self.took(number, self.do(lambda world: world.with_token(token), 201,
                                  "POST", "/api/tokens", None, body))

    def took(self, number, answer):
        self.recent.add(number)
        if answer:
            self.strings[number] = answer["token"]

    def issue(self, _world, usable, _token):
        parent = self.random.choice([token for token in usable if token.kind != "personal"])
        number = self.next_number()
        bound = parent.number if parent.kind == "operator" else 0
        token = Token(number, f"t{number}", "personal", bound)
        body = {"device_name": token.label, "abilities": ["posts:read"]}
        self.took(number, self.do(lambda world: world.with_token(token), 201, "POST", "/api/tokens",
                                  self.strings[parent.number], body))

    def issue_on_command_line(self, *_):
        number = self.next_number()
        token = Token(number, f"t{number}", "operator")
        printed = self.command(
            lambda world: world.with_token(token), "token", "issue", "--email", self.email, "--name",
            token.label, *(word for ability in ALL for word in ("--ability", ability)))
        self.took(number, printed and {"token": printed.strip()})

    def look(self, world, usable, _token):
        """Checks a token, live or dead."""
        number = self.random.choice(list(self.strings))
        status = self.check(number)
        if status not in (None, 503):
            self.expect(number, world, status)

    def rename_token(self, world, usable, token):
        victim = self.random.choice([one for one in usable if one.number in self.ids] or [None])
        if victim is None:
            return self.observe()
        label = f"{victim.label.split('.')[0]}.{self.next_number()}"
        self.do(lambda world: world.renamed_token(victim.number, label), 200, "PATCH",
                f"/api/tokens/{self.ids[victim.number]}", self.strings[token.number],
                {"device_name": label})

    def rename(self, *_):
        name = f"{self.email.split('@')[0]} {self.next_number()}"
        self.do(lambda world: dataclasses.replace(world, name=name), 200,
                "PATCH", f"/api/users/{self.user}", self.admin, {"name": name})

    def died(self, *numbers):
        self.recent.update(numbers)

    def log_out(self, _world, usable, _token):
        token = self.random.choice(usable)
        self.died(*self.family(token.number))
        self.do(lambda world: world.without(token.number), 204,
                "DELETE", "/api/tokens/current", self.strings[token.number])

    def family(self, number):
        return {token.number for token in self.world.tokens if number in (token.number, token.parent)}

    def revoke(self, world, usable, token):
        victim = self.random.choice([one for one in world.tokens if one.number in self.ids] or [None])
        if victim is None:
            return self.observe()
        self.died(*self.family(victim.number))
        self.do(lambda world: world.without(victim.number), 204, "DELETE",
                f"/api/tokens/{self.ids[victim.number]}", self.strings[token.number])

    def revoke_by_string(self, _world, usable, token):
        victim = self.random.choice(usable)
        self.died(*self.family(victim.number))
        form = urllib.parse.urlencode({"token": self.strings[victim.number]})
        self.do(lambda world: world.without(victim.number), 200,
                "POST", "/api/revoke", self.strings[token.number], form)

    def revoke_all(self, world, _usable, token):
        kept = self.random.choice([None, token.number])
        self.died(*world.numbers())
        self.do(lambda world: world.with_only(kept), 204, "DELETE",
                "/api/tokens" + ("?except=current" if kept else ""), self.strings[token.number])

    def change_password(self, world, _usable, token):
        password = f"secret number {self.next_number()}"
        self.died(*world.numbers())
        body = {"current_password": world.password, "password": password}
        self.do(lambda world: dataclasses.replace(world.with_only(token.number), password=password),
                204, "PUT", "/api/user/password", self.strings[token.number], body)

    def set_password(self, world, *_):
        password = f"secret number {self.next_number()}"
        self.died(*world.numbers())
        printed = self.command(lambda world: dataclasses.replace(world.with_only(), password=password),
                               "user", "password", self.email, password=password)
        if printed:
            self.follow(world)

    def disable(self, *_):
        # With a name of its own, this account differs from every earlier one, also while no login works.
        self.rename()
        if len(self.worlds) > 1:
            return

        def effect(world):
            return dataclasses.replace(world, disabled=True)

        if self.commands and self.random.random() < 0.5:
            if self.command(effect, "user", "disable", self.email):
                self.follow(self.world)
        else:
            self.do(effect, 200, "PATCH", f"/api/users/{self.user}", self.admin, {"disabled": True})

    def enable(self):
        def effect(world):
            return dataclasses.replace(world, disabled=False)

        if self.commands and self.random.random() < 0.5:
            self.command(effect, "user", "enable", self.email)
        else:
            self.do(effect, 200, "PATCH", f"/api/users/{self.user}", self.admin, {"disabled": False})

    def create_other(self, world, *_):
        email = f"{self.next_number()}.{self.email}"

        def effect(world):
            return dataclasses.replace(world, others=world.others | {email})

        if self.commands and self.random.random() < 0.5:
            self.command(effect, "user", "create", "--email", email, "--name", "x", password=PASSWORD)
        else:
            body = {"name": "x", "email": email, "password": PASSWORD}
            self.do(effect, 201, "POST", "/api/users", self.admin, body)

    def follow(self, before):
        """Waits until the server refuses the tokens that a command ended, which takes it a moment."""
        for token in before.tokens:
            if token.number in self.strings:
                wait_for(lambda: self.gone or self.check(token.number) == 401,
                         "the end of a token that a command revoked")

    # What is compared.

    def expect(self, number, world, status):
        live = number in world.numbers() and not world.disabled
        if status != (200 if live else 401):
            raise Wrong(f"{self.email}: token {number} was answered with {status}; {world}")
        self.checked += 1

    def read(self, path):
        """What the server holds of the user. `None` if it has gone or has too much to do."""
        answer, _ = self.ask("GET", f"/api/users/{self.user}{path}", self.admin)
        if answer is None or answer[0] == 503:
            return None
        if answer[0] != 200:
            raise Wrong(f"{self.email}{path} was answered with {answer}")
        return answer[1]["data"]

    def observe(self):
        """Finds out which of the possible accounts the server holds. If it does not answer, all stay
        possible."""
        rows, number = [], 0
        while len(rows) == 100 * number:
            number += 1
            page = self.read(f"/tokens?per_page=100&page={number}")
            if page is None:
                return
            rows += page
        user = self.read("")
        if user is None:
            return
        seen = (user["name"], user["disabled_at"] is not None, {row["name"] for row in rows})
        possible = {
            world for world in self.worlds
            if (world.name, world.disabled, {token.label for token in world.tokens}) == seen}
        if not possible:
            raise Wrong(f"{self.email}: the server holds {seen}, and not one of {self.worlds}")
        for row in rows:
            self.ids[int(row["name"][1:].split(".")[0])] = row["id"]
        self.worlds = possible
        self.checked += 1 + len(rows)
        self.observe_passwords()
        self.observe_others()

    def observe_passwords(self):
        passwords = {world.password for world in self.worlds}
        if len(passwords) < 2 or next(iter(self.worlds)).disabled:
            return
        for password in passwords:
            if self.logs_in(self.email, password) is not False:
                return

    def observe_others(self):
        for email in set().union(*(world.others for world in self.worlds)):
            doubtful = len({email in world.others for world in self.worlds}) > 1
            if not doubtful and self.random.random() > 0.2:
                continue
            exists = self.logs_in(email, PASSWORD)
            if exists is None:
                return
            self.worlds = {world for world in self.worlds if (email in world.others) == exists}
            if not self.worlds:
                raise Wrong(f"{email} exists: {exists}")

    def logs_in(self, email, password):
        """Whether one can log in. `None` if the server has gone or has too much to do."""
        number = self.next_number()
        body = {"email": email, "password": password, "device_name": f"t{number}"}
        answer, sent = self.ask("POST", "/api/tokens", None, body)
        if answer and answer[0] == 503 and answer[1]["code"] == "overloaded":
            return None
        if email == self.email and sent:
            token = Token(number, f"t{number}", "login")
            possible = {world for world in self.worlds if world.password == password}
            after = {world.with_token(token) for world in possible}
            if answer is None:
                self.worlds |= after
            else:
                self.worlds = after if answer[0] == 201 else self.worlds - possible
                self.took(number, answer[1] if answer[0] == 201 else None)
            if not self.worlds:
                raise Wrong(f"{self.email}: a login with {password} was answered with {answer[0]}")
        if answer is None:
            return None
        if answer[0] not in (201, 401):
            raise Wrong(f"{email}: a login was answered with {answer}")
        self.checked += 1
        return answer[0] == 201

    def verify(self, everything=False):
        """After a crash: compares the server with the account, and tries tokens: those that are live, those
        that changed since the last time, and a sample of the others, or all of them."""
        self.begin()
        wait_for(lambda: self.observe() or len(self.worlds) == 1 or self.gone, "a sole possible account")
        assert not self.gone, "the server has gone"
        world = self.world
        if not world.disabled and (everything or self.random.random() < 0.2):
            if self.logs_in(self.email, world.password) is False:
                raise Wrong(f"{self.email} can't log in with the password of {world}")
            world = self.world
        numbers = list(self.strings)
        if not everything:
            sample = self.random.sample(numbers, min(50, len(numbers)))
            numbers = {*sample, *self.recent, *world.numbers()} & set(numbers)
        for number in numbers:
            self.expect(number, world, self.check(number))
        self.recent.clear()


def traffic(clients, until):
    """Has each client act on a thread of its own, until `until()` is true or the server has gone. Returns
    the threads, and a list in which they leave what went wrong."""
    faults = []

    def run(client):
        client.begin()
        try:
            while not client.gone and not until():
                client.act()
        except Exception as fault:  # noqa: BLE001: shown by the test
            faults.append(fault)

    threads = [threading.Thread(target=run, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    return threads, faults


def finish(threads, faults):
    """Waits for the clients, and raises what went wrong."""
    for thread in threads:
        thread.join()
    for fault in faults:
        raise fault

