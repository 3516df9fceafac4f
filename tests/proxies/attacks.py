"""Requests by which clients try to bypass a proxy."""

from servers import HOST

# IANA's registry of HTTP methods.
REGISTERED = """
    ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK LOCK MERGE
    MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PRI
    PROPFIND PROPPATCH PUT QUERY REBIND REPORT SEARCH TRACE UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE
    UPDATEREDIRECTREF VERSION-CONTROL *
    """.split()
METHODS = sorted({spelling for method in [*REGISTERED, "INVENTED"]
                  for spelling in (method, method.lower(), method.title())})

# Headers without a live token.
WITHOUT_A_TOKEN = [[], *([("Authorization", value)] for value in (
    "", "x", "Bearer", "Bearer\tx", "Bearer bd_nonsense", "Basic eDp5", "Digest x"))]


def spellings(name):
    """A header's name in other cases, and with other punctuation: some applications turn each character
    that is neither a letter nor a digit into an underscore."""
    yield from (name, name.lower(), name.upper())
    for other in "!#$%&'*+.^_`|~":
        yield name.replace("-", other)
        yield name.replace("-", other, 1)
        yield other.join(name.rsplit("-", 1))


# Headers by which some proxies name the original request, and some applications read another one from.
NAMINGS = [
    *({name: "{uri}"} for name in (
        "X-Forwarded-Uri", "X-Forwarded-Path", "X-Original-URI", "X-Original-Uri", "X-Original-Path",
        "X-Original-URL", "X-Rewrite-URL", "X-Envoy-Original-Path", "X-Auth-Request-Redirect",
        "X-Replaced-Path", "X-Request-Uri", "Request-Uri", "X-Sendfile", "X-Accel-Redirect")),
    *({name: "{url}"} for name in ("X-Original-URL", "X-Forwarded-Url", "X-Rewrite-URL")),
    *({name: "{method}"} for name in (
        "X-Forwarded-Method", "X-Original-Method", "X-HTTP-Method-Override", "X-HTTP-Method",
        "X-Method-Override")),
    *({name: "{host}"} for name in ("X-Forwarded-Host", "X-Forwarded-Server", "X-Original-Host",
                                    "X-Host", "X-Envoy-Original-Host")),
    {"X-Forwarded-Prefix": "/public"}, {"X-Script-Name": "/public"}, {"X-Envoy-Original-Prefix": "/"},
    {"X-Forwarded-Proto": "https", "X-Forwarded-Port": "443", "X-Forwarded-Scheme": "https"},
    {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"},
    {"Forwarded": "for=127.0.0.1;host={host};proto=https"},
    {"X-Forwarded-Method": "{method}", "X-Forwarded-Host": "{host}", "X-Forwarded-Uri": "{uri}"},
    {"X-Original-Method": "{method}", "X-Original-URI": "{uri}"},
    {"X-Original-Method": "{method}", "X-Original-URL": "{url}"},
]


def forgeries(namings=NAMINGS):
    """Headers that name another request, which is public or needs a lesser token: each naming alone,
    twice, with underscores, listed in Connection, and all namings at once."""
    for host, uri in [(HOST, "/public/page"), ("git.example.org", "/code.git/HEAD")]:
        texts = {"host": host, "uri": uri, "method": "GET", "url": f"http://{host}{uri}"}
        every = []
        for naming in namings:
            headers = [(name, value.format(**texts)) for name, value in naming.items()]
            every += headers
            yield headers
            yield headers + headers
            yield [(name.replace("-", "_"), value) for name, value in headers]
            yield [("Connection", ", ".join(naming)), *headers]
        yield every
