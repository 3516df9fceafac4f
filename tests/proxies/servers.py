"""Starts bearerd and the proxies on free ports, each in its own folder, and stops them."""

import contextlib
import http.client
import os
import socket
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path

import yaml

import ingress_nginx
from recipes import recipe

BEARERD = os.path.abspath(os.environ.get("BEARERD_BIN", "target/debug/bearerd"))
# Settings from outside must not affect the tests.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("BEARERD_")}
ENVIRONMENT |= {"BEARERD_BCRYPT_COST": "4", "BEARERD_LOG": "warn"}
HOST = "app.example.org"
PATIENCE = 20
# pip installs the programs of the required packages here.
PROGRAMS = Path(sysconfig.get_path("scripts"))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(command, folder, **options):
    """Runs a process until the block ends. Its output goes to the file `log` in the folder."""
    with open(Path(folder) / "log", "ab") as log:
        process = subprocess.Popen(command, cwd=folder, stderr=log, stdin=subprocess.DEVNULL,
                                   **{"stdout": log, **options})
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def await_answer(process, folder, connect):
    """Waits until a server that has just been started accepts connections."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return connect()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args} doesn't answer:\n{(folder / 'log').read_text()}")
            time.sleep(0.02)


@contextlib.contextmanager
def temporary_folder():
    """A folder that servers can read after they give up being root."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.body = response.read().decode(errors="replace")

    @property
    def challenge(self):
        return ", ".join(self.headers.get_all("WWW-Authenticate", []))

    def __repr__(self):
        return f"{self.status} {self.headers.items()} {self.body}"


def send(address, target, headers=(), method="GET", host=HOST, body=None):
    """Sends one request, with its target and headers unchanged."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in [("Host", host), *headers]:
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    with contextlib.closing(connection):
        return Answer(connection.getresponse())


def bearer(token):
    return [("Authorization", f"Bearer {token}")] if token else []


class Bearerd:
    """bearerd with the page's settings and one user, Ada. It can be stopped and started again."""

    def __init__(self, folder, naming, extra, rules):
        self.folder, self.naming = folder, naming
        self.address = f"127.0.0.1:{free_port()}"
        named = {'"x-original-uri"': f'"{naming}"'}
        (folder / "bearerd.toml").write_text(extra + recipe("bearerd.toml", named) + rules)
        create = ["user", "create", "--email", "ada@example.org", "--name", "Ada Lovelace"]
        self.run(*create, input="long enough\n")
        self.served = contextlib.ExitStack()

    def run(self, *arguments, **options):
        return subprocess.run([BEARERD, *arguments], cwd=self.folder, env=ENVIRONMENT, check=True,
                              stdout=subprocess.PIPE, text=True, **options).stdout

    def start(self):
        command = [BEARERD, "serve", "--listen", self.address]
        process = self.served.enter_context(running(command, self.folder, env=ENVIRONMENT))
        await_answer(process, self.folder, lambda: send(self.address, "/healthz"))

    def stop(self):
        self.served.close()

    def token(self, *abilities):
        """Issues a token for Ada."""
        named = [word for ability in abilities for word in ("--ability", ability)]
        user = ["--email", "ada@example.org", "--name", "test"]
        return self.run("token", "issue", *user, *named).strip()

    def revoke(self, token):
        answer = send(self.address, "/api/tokens/current", bearer(token), method="DELETE")
        assert answer.status == 204, answer


@contextlib.contextmanager
def nginx(folder, bearerd, sites, changes=()):
    """nginx with sites of the page. `sites` maps their names to the changes in them, and `changes` are
    those in the snippets."""
    address = f"127.0.0.1:{free_port()}"
    upstream = recipe("/etc/nginx/conf.d/bearerd.conf", {"127.0.0.1:8080": bearerd})
    files = {"conf.d/bearerd.conf": upstream}
    for name in ("snippets/bearerd.conf", "snippets/bearerd-identity.conf"):
        shown = recipe(f"/etc/nginx/{name}", {})
        files[name] = recipe(f"/etc/nginx/{name}", {
            text: ours for text, ours in dict(changes).items() if text in shown})
    for name in ("uwsgi_params", "scgi_params"):
        files[name] = Path(f"/etc/nginx/{name}").read_text()
    for name, own in sites.items():
        own = {"listen 80;": f"listen {address};", **own}
        files[f"sites-enabled/{name}"] = recipe(f"/etc/nginx/sites-enabled/{name}", own)
    with running_nginx(folder, address, files):
        yield address


@contextlib.contextmanager
def running_nginx(folder, address, files):
    """nginx with these configuration files. Those in `conf.d` and `sites-enabled` are included in
    `http`."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    main = f"""
        daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;
        events {{}}
        http {{
            access_log off; {temporary}
            include conf.d/*.conf;
            include sites-enabled/*;
        }}
        """
    for name, text in {"nginx.conf": main, **files}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    command = ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", f"{folder}/log"]
    with running(command, folder) as process:
        await_answer(process, folder, lambda: send(address, "/", host="nobody"))
        yield


@contextlib.contextmanager
def ingress(folder, bearerd, application, changes=()):
    """nginx, configured as ingress-nginx does for the page's Ingress and ConfigMaps."""
    address = f"127.0.0.1:{free_port()}"
    verify = "bearerd.auth.svc.cluster.local:8080"
    ingress = yaml.safe_load(recipe("ingress.yaml", {verify: bearerd, **dict(changes)}))
    config_map, auth_headers = (yaml.safe_load(recipe(name, {}))
                                for name in ("configmap.yaml", "bearerd-headers.yaml"))
    site = ingress_nginx.server(ingress, config_map, address, application, auth_headers)
    with running_nginx(folder, address, {"sites-enabled/app": site}):
        yield address


@contextlib.contextmanager
def caddy(folder, bearerd, application, changes=(), program="caddy"):
    """Caddy, by default Debian's."""
    port = free_port()
    site = recipe("Caddyfile", {
        "app.example.org {": f"http://app.example.org:{port} {{\n\tbind 127.0.0.1",
        **dict(changes),
        "127.0.0.1:8080": bearerd,
        "127.0.0.1:3000": application,
    })
    (folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https off\n}\n" + site)
    homes = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    command = [program, "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    with running(command, folder, env={**os.environ, **homes}) as process:
        address = f"127.0.0.1:{port}"
        await_answer(process, folder, lambda: send(address, "/", host="nobody"))
        yield address


def caddy_of_pip(folder, bearerd, application, changes=()):
    """A recent Caddy, from a package on PyPI."""
    return caddy(folder, bearerd, application, changes, PROGRAMS / "caddy")


@contextlib.contextmanager
def traefik(folder, bearerd, application, changes=()):
    address = f"127.0.0.1:{free_port()}"
    static = recipe("traefik.yml", {'":80"': f'"{address}"', "/etc/traefik": folder})
    quiet = "global: {checkNewVersion: false, sendAnonymousUsage: false}\n"
    (folder / "traefik.yml").write_text(static + quiet)
    (folder / "app.yml").write_text(recipe("/etc/traefik/app.yml", {
        "127.0.0.1:8080": bearerd, "127.0.0.1:3000": application, **dict(changes)}))

    def ready():
        # Traefik listens before its routes are loaded.
        if send(address, "/posts/1").status == 404:
            raise ConnectionError("no routes yet")

    with running([PROGRAMS / "traefik", "--configFile=traefik.yml"], folder) as process:
        await_answer(process, folder, ready)
        yield address


@contextlib.contextmanager
def envoy(folder, bearerd, application, changes=()):
    def port(address):
        return "port_value: " + address.split(":")[1]

    address = f"127.0.0.1:{free_port()}"
    (folder / "envoy.yaml").write_text(recipe("/etc/envoy/envoy.yaml", {
        "0.0.0.0": "127.0.0.1", "port_value: 80}": port(address) + "}",
        "port_value: 8080": port(bearerd), "port_value: 3000": port(application), **dict(changes)}))
    command = [PROGRAMS / "envoy", "-c", "envoy.yaml", "--concurrency", "1", "-l", "error",
               "--disable-hot-restart"]
    with running(command, folder) as process:
        await_answer(process, folder, lambda: send(address, "/", host="nobody"))
        yield address


# The modules that Debian enables by default, or a2enmod as the page says.
APACHE_MODULES = ("mpm_event", "authn_core", "authz_core", "authz_user", "alias", "setenvif",
                  "headers", "proxy", "proxy_http", "rewrite", "auth_openidc")


@contextlib.contextmanager
def apache(folder, bearerd, application, secret):
    address = f"127.0.0.1:{free_port()}"
    site = recipe("/etc/apache2/sites-enabled/app.conf", {
        "<VirtualHost *:80>": f"<VirtualHost {address}>",
        "127.0.0.1:8080": bearerd,
        "127.0.0.1:3000": application,
        "bd_ApachesToken": secret,
    })
    modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
                        for name in APACHE_MODULES)
    user = "User www-data\nGroup www-data" if os.getuid() == 0 else ""
    (folder / "apache2.conf").write_text(f"""
{modules}
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/pid
ErrorLog {folder}/log
Mutex posixsem
ServerName localhost
Listen {address}
{user}
{site}
""")
    command = ["apache2", "-X", "-f", str(folder / "apache2.conf")]
    with running(command, folder) as process:
        await_answer(process, folder, lambda: send(address, "/", host="nobody"))
        yield address
