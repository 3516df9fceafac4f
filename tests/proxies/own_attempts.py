"""The table of attempts at bearerd's own API, and the answers that they must get without a token, with a
token that lacks the right, and with the right token. To add an attempt, add a row. The lists below the table
have attempts of other kinds. All are made directly, without a proxy."""

from dataclasses import dataclass

# The answers without a token, with a token that lacks the right, and with the right one.
GUARDED, IGNORED, NO_ROUTE, NO_METHOD = (401, 403, 200), (401,) * 3, (404,) * 3, (405,) * 3
BROKEN, UNSUPPORTED, INVALID = (400,) * 3, (415,) * 3, (422,) * 3
BEARER = "Authorization: Bearer {token}"


@dataclass(frozen=True)
class Attempt:
    kind: str
    answers: tuple
    target: str = "/api/tokens"
    method: str = "GET"
    headers: tuple = ()
    body: str = ""
    token: tuple = (BEARER,)


def rows(kind, answers, *targets, **more):
    return [Attempt(kind, answers, target, **more) for target in targets]


FORM, TEXT = "Content-Type: application/x-www-form-urlencoded", "Content-Type: text/plain"
LOGIN = '{"email":"ada@example.org","password":"long enough","device_name":"x"}'
LOGIN_FORM = "email=ada%40example.org&password=long+enough&device_name=x"
# A site of an attacker, from which a browser sends what HTML forms can send.
CROSS_SITE = ("Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Cookie: session=x")

ROWS = [
    # Paths. bearerd knows each of its paths in one spelling, in which any character may be encoded once.
    *rows("path", GUARDED, "/api/tokens", "/api/%74okens", "/%61pi/tokens", "/api/tokens?page=1",
          "http://evil.example/api/tokens", "http://bearerd/api/tokens?page=1"),
    *rows("path", NO_ROUTE, "/api/tokens/", "/api//tokens", "//api/tokens", "//evil.example/api/tokens",
          "/API/tokens", "/api/Tokens", "/api/./tokens", "/api/../api/tokens", "/./api/tokens",
          "/api/tokens;x", "/api;/tokens", "/api/tokens%2f", "/api%2ftokens", "/api/tokens%00",
          "/api/tokens%20", "/api/tokens.", "/api/tokens.json", "/api/%2574okens", "/api\\tokens",
          "/api%5ctokens", "/api/tokens%3fpage=1", "/api/tokens%23", "/healthz/../api/tokens",
          "/healthz/..;/api/tokens", "/docs/../api/tokens", "/docs/%2e%2e/api/tokens",
          "/docs/..%2fapi/tokens", "/docs/%2e%2e%2f%2e%2e%2fetc/passwd", "/docs/../../../../etc/passwd",
          "/../bearerd.sqlite", "/bearerd.sqlite", "/bearerd.toml", "/.git/config",
          "/static/index.html", "/index.html", "/api/tokens%c0%af", "/api/t%6fkens/x/y", "/api", "/api/"),
    *rows("path", BROKEN, "api/tokens", "", "/api/tokens\0", "/api/tok\x7fens", "/api/tok\xffens"),
    *rows("path", GUARDED, "/api/tokens#x"),
    *rows("path", NO_ROUTE, "*"),
    # Ids. There are few tokens, and no text is read as one of their ids.
    *rows("id", (401, 403, 404), *(f"/api/tokens/{id}" for id in (
        "999", "+999", "0", "-1", "01x", "1%00", "1%20", "%201", "1.0", "1e0", "0x1", "1;2", "1,2", "*",
        "%2a", "1%2f", "9223372036854775808", "18446744073709551617", "%D9%A1", "current%00", "CURRENT")),
        method="DELETE"),
    # Methods, and headers by which some servers replace them.
    *(Attempt("method", GUARDED, method=method) for method in ("GET", "HEAD")),
    *(Attempt("method", NO_METHOD, method=method) for method in (
        "get", "Get", "post", "delete", "PUT", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "GETX", "M-SEARCH")),
    *(Attempt("method", BROKEN, method=method) for method in ("", "G\tET", "GET\0", "(GET)", "G@T")),
    *(Attempt("method", UNSUPPORTED, method="POST", headers=(f"{name}: {value}",))
      for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
      for value in ("GET", "DELETE")),
    # Tokens in places where bearerd reads none.
    *rows("token", IGNORED, "/api/user?token={token}", "/api/user?access_token={token}",
          "/api/user?bearer={token}", token=("X: {token}",)),
    *(Attempt("token", IGNORED, "/api/user", token=(line,)) for line in (
        "Cookie: token={token}", "X-Api-Token: {token}", "X-Auth-Token: {token}",
        "Proxy-Authorization: Bearer {token}", "Authorization: {token}", "Authorization: Basic {token}",
        "Authorization: Bearer {token}, Bearer {token}", "Authorization_: Bearer {token}",
        "Authorization: Bearer bd_{token}", "Authorization: Bearer {token}0")),
    *(Attempt("token", (401, 400, 400), "/api/user", token=(line,)) for line in (
        "Authorization : Bearer {token}", "Authorization:\r\n Bearer {token}",
        "Authorization: Bearer {token}\0")),
    # Identities and requests that a client names itself.
    *(Attempt("header", GUARDED, headers=(line,)) for line in (
        "X-Original-URI: /healthz", "X-Original-URL: /healthz", "X-Rewrite-URL: /healthz",
        "X-Forwarded-Prefix: /docs", "X-Forwarded-Host: evil.example", "X-Auth-User-Id: 1",
        "Remote-User: ada@example.org", "X-Auth-Abilities: *", "Connection: authorization",
        "Forwarded: for=127.0.0.1;host=evil.example")),
    # Abilities in the query of /api/verify: all that are named are needed.
    *rows("query", GUARDED, *(f"/api/verify?{query}" for query in (
        "ability=tokens:read", "ability=tokens%3Aread", "%61bility=tokens:read", "any=tokens:read",
        "ability=tokens:read&any=tokens:read"))),
    *rows("query", (401, 403, 403), "/api/verify?ability=git:read&ability=tokens:read",
          "/api/verify?ability=tokens:read&ability=app:admin",
          "/api/verify?ability=tokens:read;any=tokens:read",
          "/api/verify?any=git:read&ability=tokens:read",
          "/api/verify?any=git:read&ability=tokens:read#&any=tokens:read"),
    *rows("query", INVALID, *(f"/api/verify?{query}" for query in (
        "Ability=git:read", "ability[]=git:read", "ability=", "any=", "ability", "ability=*x%20",
        "ability=git:read%00", "x=y"))),
    # Forms that a browser sends for another site, without asking first.
    *(Attempt("csrf", UNSUPPORTED, method="POST", headers=(*CROSS_SITE, type), body=body) for type, body in (
        (TEXT, LOGIN), (FORM, LOGIN), (FORM, LOGIN_FORM), ("X: no type", LOGIN), ("Content-Type: ", LOGIN),
        (TEXT + "; application/json", LOGIN), ("Content-Type: text/json", LOGIN),
        ("Content-Type: multipart/form-data; boundary=x", LOGIN),
        ("Content-Type: application/jsonx", LOGIN), ("Content-Type: application/json, text/plain", LOGIN))),
    *(Attempt("csrf", (401, 403, 415), "/api/user/password", "PUT", (*CROSS_SITE, type), "{}")
      for type in (TEXT, FORM)),
    *(Attempt("csrf", IGNORED, target, "POST", (*CROSS_SITE, FORM), "token=x", ("Cookie: token={token}",))
      for target in ("/api/introspect", "/api/revoke")),
    *(Attempt("csrf", NO_METHOD, target, "OPTIONS", (*CROSS_SITE, "Access-Control-Request-Method: POST"))
      for target in ("/api/tokens", "/api/introspect", "/api/user/password", "/api/users/1")),
]

# Origins that get no headers of CORS, if the setting lists only APP.
APP = "https://app.example.org"
ORIGINS = [
    "null", "https://evil.example", APP + ".evil.example", "https://evil-app.example.org",
    "https://x.app.example.org", "http://app.example.org", APP + ":8443", APP + ":443", APP + "/",
    APP + ".", "https://APP.example.org", "HTTPS://app.example.org", APP + " " + "https://evil.example",
    APP + ", https://evil.example", "https://evil.example, " + APP,
    "https://app.example.org@evil.example", "https://evil.example#" + APP, "https://evil.example?" + APP,
    APP + "`.evil.example", APP + "_.evil.example", "https://appxexample.org", "https://example.org", "*",
    "", "file://", "chrome-extension://x", APP + "%00.evil.example", APP + "\xa0",
]

# The pages and what they load.
PAGES = [
    "/", "/docs", "/app.js", "/dom.js", "/log.js", "/session.js", "/ticket.js", "/wire.js", "/docs.js",
    "/style.css", "/docs.css", "/favicon.svg", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js",
]

# Texts that no browser may run, wherever they are shown.
HTML = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "</script><script>alert(1)</script>",
    "{{7*7}}", "javascript:alert(1)", "<svg/onload=alert(1)>", "&lt;script&gt;", "'-alert(1)-'", "<!--",
    "]]>",
]
# Texts that must not get into a header, a log line or a terminal.
CONTROLS = [
    "a\r\nSet-Cookie: x=y", "a\nb", "a\0b", "a\x1b[31mb", "a\x7fb", "a\u202eb", "a\u2028b", "a\x85b",
]

# Headers in which a client names another address for each attempt. `{n}` differs each time.
ADDRESSES = [
    "X-Forwarded-For: 198.51.100.{n}", "Forwarded: for=198.51.100.{n}", "X-Real-IP: 198.51.100.{n}",
    "X-Client-IP: 198.51.100.{n}", "True-Client-IP: 198.51.100.{n}", "CF-Connecting-IP: 198.51.100.{n}",
    "X-Cluster-Client-IP: 198.51.100.{n}", "Fastly-Client-IP: 198.51.100.{n}",
    "X-Originating-IP: 198.51.100.{n}",
    "X-Forwarded-For: 198.51.100.{n}\r\nForwarded: for=198.51.100.{n}",
    "X-Forwarded-For: [2001:db8::{n}]:80", "X-Forwarded: for=198.51.100.{n}", "Client-IP: 198.51.100.{n}",
    "Via: 1.1 198.51.100.{n}", "X_Forwarded_For: {n}",
]
# The same before the address that a trusted proxy adds.
FORGED = [
    "198.51.100.{n}, {client}", "198.51.100.{n},{client}", "unknown, 198.51.100.{n}, {client}",
    "\"198.51.100.{n}, {client}", "198.51.100.{n}\r\nX-Forwarded-For: {client}",
    "{client}, 198.51.100.{n}, {client}", "[::{n}], {client}:{n}", "198.51.100.{n}, {client}, 127.0.0.1",
    "127.0.0.1, 198.51.100.{n}, {client}",
]
