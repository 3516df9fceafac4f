"""A proxy with bearerd at its side and an application behind, as the tests use them."""

import contextlib

import servers
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


@contextlib.contextmanager
def started_bearerd(extra=""):
    with servers.temporary_folder() as folder:
        bearerd = servers.Bearerd(folder, extra)
        bearerd.start()
        try:
            yield bearerd
        finally:
            bearerd.stop()


@contextlib.contextmanager
def started_site(proxy):
    with contextlib.ExitStack() as stack:
        bearerd = stack.enter_context(started_bearerd())
        upstream = stack.enter_context(Upstream())
        folder = stack.enter_context(servers.temporary_folder())
        start = {
            "nginx": lambda: servers.nginx(folder, bearerd.address,
                                           {"app": {"127.0.0.1:3000": upstream.address}}),
            "caddy": lambda: servers.caddy(folder, bearerd.address, upstream.address),
            "apache": lambda: servers.apache(folder, bearerd.address, upstream.address,
                                             bearerd.token("introspect")),
        }
        address = stack.enter_context(start[proxy]())
        yield Site(proxy, address, bearerd, upstream)
