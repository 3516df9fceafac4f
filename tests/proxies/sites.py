"""Starts proxies together with bearerd and an application behind them."""

import contextlib

import servers
from recipes import naming
from upstream import Upstream


class Site:
    """A proxy that asks bearerd, and an application behind the proxy."""

    def __init__(self, proxy, address, bearerd, upstream):
        self.proxy, self.address, self.bearerd, self.upstream = proxy, address, bearerd, upstream

    def ask(self, target, token=None, headers=(), **options):
        """Sends a request. Returns the answer, and the request that the application saw or None."""
        self.upstream.taken()
        every = [*servers.bearer(token), *headers]
        answer = servers.send(self.address, target, every, **options)
        asked = self.upstream.taken()
        assert len(asked) <= 1
        return answer, asked[0] if asked else None


# The proxies, and the sections of the page whose `forward_auth_headers` they need. Apache uses
# introspection, so the setting does not matter to it.
SECTIONS = {"nginx": "nginx", "caddy": "Caddy", "caddy_of_pip": "Caddy", "traefik": "Traefik",
            "ingress": "ingress-nginx", "envoy": "Envoy", "apache": "nginx"}


@contextlib.contextmanager
def started_bearerd(proxy="nginx", extra="", rules=""):
    """bearerd configured for this proxy, with extra settings and rules."""
    with servers.temporary_folder() as folder:
        bearerd = servers.Bearerd(folder, naming(SECTIONS[proxy]), extra, rules)
        bearerd.start()
        try:
            yield bearerd
        finally:
            bearerd.stop()


@contextlib.contextmanager
def started_proxy(proxy, bearerd, application, changes=()):
    """Starts a proxy that asks bearerd, in front of an application. Gives the proxy's address. `changes`
    maps texts of its recipe to their replacements."""
    with servers.temporary_folder() as folder:
        to = (folder, bearerd.address)
        start = {
            "nginx": lambda: servers.nginx(*to, {"app": {"127.0.0.1:3000": application}}, changes),
            "apache": lambda: servers.apache(*to, application, bearerd.token("introspect")),
        }.get(proxy, lambda: getattr(servers, proxy)(*to, application, changes))
        with start() as address:
            yield address


@contextlib.contextmanager
def started_site(proxy, extra="", changes=()):
    with contextlib.ExitStack() as stack:
        bearerd = stack.enter_context(started_bearerd(proxy, extra))
        upstream = stack.enter_context(Upstream())
        address = stack.enter_context(started_proxy(proxy, bearerd, upstream.address, changes))
        yield Site(proxy, address, bearerd, upstream)
