"""A proxy with bearerd at its side and an application behind, as the tests use them."""

import contextlib

import servers
from recipes import naming
from upstream import Upstream


class Site:
    """A proxy, with bearerd at its side and an application behind."""

    def __init__(self, proxy, address, bearerd, upstream):
        self.proxy, self.address, self.bearerd, self.upstream = proxy, address, bearerd, upstream

    def ask(self, target, token=None, headers=(), **options):
        """Sends a request; gives the answer, and what of it the application got to see, if it did."""
        self.upstream.taken()
        every = [*servers.bearer(token), *headers]
        answer = servers.send(self.address, target, every, **options)
        asked = self.upstream.taken()
        assert len(asked) <= 1
        return answer, asked[0] if asked else None


# The proxies that run here, and the sections of the page that show their recipes. Apache asks
# for introspection, so how it would name a request plays no part.
SECTIONS = {"nginx": "nginx", "caddy": "Caddy", "caddy_of_pip": "Caddy", "traefik": "Traefik",
            "ingress": "ingress-nginx", "envoy": "Envoy", "apache": "nginx"}


@contextlib.contextmanager
def started_bearerd(proxy="nginx", extra="", rules=""):
    """bearerd as this proxy needs it, with further settings, and further rules."""
    with servers.temporary_folder() as folder:
        bearerd = servers.Bearerd(folder, naming(SECTIONS[proxy]), extra, rules)
        bearerd.start()
        try:
            yield bearerd
        finally:
            bearerd.stop()


@contextlib.contextmanager
def started_proxy(proxy, bearerd, application, changes=()):
    """A proxy, with bearerd at its side and an application behind; gives its address. `changes` are
    texts of its recipe and what takes their place."""
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
