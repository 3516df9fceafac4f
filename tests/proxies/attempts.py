"""The table of attempts: requests by which a client tries to get what its token does not allow, and the
answers that they must get. To add an attempt, add a row.

The rules are those of docs/proxies.md. Each attempt is made without a token, with a token that lacks the
right, and with the right token; a row has the three answers. bearerd must give exactly these. Through a
proxy they are the same, except that

- a proxy may refuse by itself, with another status, a request that must be refused,
- a proxy may resolve the path before it asks. `resolved` has the answers for the path that it then asks
  about,
- the proxies in `refused_by` refuse this request, although it could pass.

Not repeated here: tests/http/original_request.rs forges the headers that name a request, access_control.rs
asks each route without each of its rights, limits.rs and login_rounds.rs guess passwords and compare the time
of refusals. test_methods.py has every registered method, and test_forwarding.py every spelling of the headers
that must not reach the application."""

from dataclasses import dataclass

from servers import HOST

# The answers without a token, with a token that lacks the right, and with the right one.
GUARDED, PUBLIC, NO_RULE, UNREADABLE = (401, 403, 200), (200,) * 3, (403,) * 3, (400,) * 3
BEARER = "Authorization: Bearer {token}"


@dataclass(frozen=True)
class Attempt:
    kind: str
    answers: tuple
    target: str = "/admin"
    method: str = "GET"
    # The lines by which a token is sent.
    token: tuple = (BEARER,)
    headers: tuple = ()
    resolved: tuple = ()
    refused_by: tuple = ()


def paths(answers, *targets, **more):
    return [Attempt("path", answers, target, **more) for target in targets]


PATHS = [
    # Encodings.
    *paths(GUARDED, "/admin", "/admin/", "/admin/users", "/admin?", "/admin?x=/../public",
           "/posts/%31"),
    *paths(UNREADABLE, "/%61dmin", "/%61%64%6d%69%6e", "/%61%64%6D%69%6E", "/%70osts/1",
           resolved=GUARDED),
    *paths(UNREADABLE, "/%2561dmin", "/%25%36%31dmin", "/%252561dmin", "/%u0061dmin", "/%", "/%6",
           "/%zzadmin", "/%6-dmin", "/public/%", "/public/%u002e%u002e/admin",
           "/public/%%32%65%%32%65/admin"),
    # Dots.
    *paths(UNREADABLE, "/./admin", "/public/../admin", "/public/./../admin", "/public/x/../../admin",
           "/public/%2e%2e/admin", "/public/%2E%2E/admin", "/public/.%2e/admin", "/public/%2e./admin",
           "/posts/../admin", "/admin/x/..", "/admin/.", resolved=GUARDED),
    *paths(UNREADABLE, "/public/x/..", "/admin/../public/page", resolved=PUBLIC),
    *paths(PUBLIC, "/public/a..b"),
    *paths(PUBLIC, "/public/..x", "/public/x..", refused_by=("apache",)),
    *paths(UNREADABLE, "/../admin", "/public/../../admin", "/%2e%2e/admin", resolved=GUARDED),
    *paths(UNREADABLE, "/public/.../admin", "/public/..../admin", "/public/..%20/admin",
           "/public/%20../admin", "/public/..%09/admin", "/public/..+/admin", "/public/..:/admin",
           "/public/..::$DATA/admin", "/public/%252e%252e/admin", "/public/%25252e%25252e/admin"),
    *paths(UNREADABLE, "/public/..%20/../admin", resolved=PUBLIC),
    # Slashes and backslashes.
    *paths(GUARDED, "/admin//", "/admin//users", "/admin///x"),
    *paths(PUBLIC, "/public//page", "/public///"),
    *paths(UNREADABLE, "//admin", "///admin", "/public//../admin", "/public/..//../admin",
           resolved=GUARDED),
    *paths(UNREADABLE, "//public/page", resolved=PUBLIC),
    *paths(UNREADABLE, "//app.example.org/admin", "/admin%2f", "/admin%2Fusers", "/%2fadmin",
           "/public%2f..%2fadmin", "/public/..%2fadmin", "/public/%2e%2e%2fadmin",
           "/public%252f..%252fadmin", "/public\\..\\admin", "/public/..\\admin", "/public/..%5cadmin",
           "/public/..%5Cadmin", "/public%5c..%5cadmin", "/\\admin", "/%5cadmin",
           "/public/%5c../admin", "/public/..%255cadmin"),
    # Characters that end a path for some servers.
    *paths(UNREADABLE, "/admin%00", "/admin%00.html", "/public/..%00/admin", "/admin%0a",
           "/admin%0d%0aX:%20y", "/admin%09", "/admin%7f", "/admin%23", "/admin%3f", "/admin#",
           "/admin#x", "/public#/../admin", "/public/#/../../admin", "/admin\0", "/adm\0in"),
    *paths(UNREADABLE, "/public%00/../admin", "/public%23/../admin", "/public%3f/../admin",
           resolved=GUARDED),
    *paths(PUBLIC, "/public?/../admin", "/public/page?x=/../../admin", "/public/page?a%00b",
           "/public?;"),
    # Parameters.
    *paths(UNREADABLE, "/admin;x", "/admin;/x", "/;/admin", "/;x=y/admin", "/public/..;/admin",
           "/public/..;x=y/admin", "/admin%3bx", "/public/..%3b/admin", "/public/..%253b/admin"),
    *paths(UNREADABLE, "/public;/../admin", resolved=GUARDED),
    *paths(UNREADABLE, "/public/;/../admin", resolved=PUBLIC),
    # Case, and what file systems drop.
    *paths(UNREADABLE, "/ADMIN", "/Admin", "/aDmin/users", "/%41dmin", "/Public/page", "/POSTS/1",
           "/admin.", "/admin..", "/admin%20", "/admin%20.", "/%20admin", "/admin/%20",
           "/admin::$INDEX_ALLOCATION", "/admin:x", "/public./page", "/posts.%20/1"),
    # Beyond ASCII: overlong and broken UTF-8, and characters that servers fold to others.
    *paths(UNREADABLE, "/public/%c0%ae%c0%ae/admin", "/public/..%c0%af../admin", "/public/..%c0%afadmin",
           "/public/%e0%80%ae%e0%80%ae/admin", "/public/..%e0%80%afadmin", "/public/%f0%80%80%ae/admin",
           "/%c1%a1dmin", "/public/%ff", "/public/%c3", "/public/%ed%a0%80", "/public/\xff",
           "/public/\xc0\xae\xc0\xae/admin", "/public/%ef%bc%8e%ef%bc%8e/admin",
           "/public/..%ef%bc%8fadmin", "/public/..%e2%88%95admin", "/public/..%e2%81%84admin",
           "/public/%e2%80%a5/admin", "/public/..%ef%bc%bcadmin", "/public/..%c2%a5admin",
           "/public/%ef%bc%85%ef%bc%92%ef%bd%85/admin", "/adm%c4%b1n", "/adm%c4%b0n", "/%ef%bd%81dmin",
           "/ad%e2%80%8bmin", "/ad%c2%admin", "/public/..%e2%80%8b/admin", "/public/..%ef%bb%bf/admin"),
    *paths(PUBLIC, "/public/caf%C3%A9", "/public/%E6%97%A5%E6%9C%AC"),
    # Targets that are no paths. A proxy takes the path out of a URL, and the host too.
    *paths(UNREADABLE, "admin", "*", "?/admin", "", "app.example.org/admin", "app.example.org:80"),
    *paths(UNREADABLE, "http://app.example.org/admin", "HTTP://app.example.org/admin",
           "http://app.example.org/public/../admin", "http://app.example.org:80/admin",
           "https://app.example.org/admin", "http://x@app.example.org/admin",
           "http://public@app.example.org/admin", "http:/admin", "http:///admin",
           "ftp://app.example.org/admin", "http://git.example.org/admin", resolved=GUARDED),
    *paths(UNREADABLE, "http://app.example.org/public/page", "http://evil.example/public/page",
           resolved=PUBLIC),
    *paths(UNREADABLE, "http://app.example.org"),
    # Paths without a rule, some of which only look like the others.
    *paths(NO_RULE, "/", "/elsewhere", "/adminx", "/admin.json", "/xadmin", "/publicx", "/public-x"),
]


def tokens(answers, *lines, **more):
    """Other ways to send the token."""
    return [Attempt("token", answers, token=(line,) if isinstance(line, str) else line, **more)
            for line in lines]


def headers(answers, *lines, **more):
    return [Attempt("header", answers, headers=(line,) if isinstance(line, str) else line, **more)
            for line in lines]


# A token in a place where bearerd takes none, and a request that can't be read.
IGNORED, BROKEN = (401, 401, 401), (401, 400, 400)
IDENTITY = ("Remote-User: root@example.org", "X-Auth-User-Id: 1", "X-Auth-User-Name: root",
            "X-Auth-Token-Id: 1", "X-Auth-Abilities: app:admin")

HEADERS = [
    *tokens(GUARDED, BEARER, "authorization: Bearer {token}", "AUTHORIZATION: bearer {token}",
            "aUTHORIZATION:BEARER    {token}", "Authorization: \t Bearer {token} \t "),
    *tokens(IGNORED, "Authorization: {token}", "Authorization: Token {token}",
            "Authorization: Bearer={token}",
            "Authorization: Bearer:{token}", "Authorization: Bearer", "Authorization: Bearer bd_",
            "Authorization: Bearer {token}x", "Authorization: Bearer x{token}",
            "Authorization: Bearer {token},", "Authorization: Bearer {token}, Bearer {token}",
            "Authorization: Bearer \"{token}\"", "Authorization: Bearer %20{token}",
            "Authorization: Basic Bearer {token}", "Authorization: Bearer {token};",
            "X-Authorization: Bearer {token}", "Proxy-Authorization: Bearer {token}",
            "X-Forwarded-Authorization: Bearer {token}", "X-Api-Token: {token}", "X-Auth-Token: {token}",
            "Cookie: token={token}; access_token={token}", "Authorization_: Bearer {token}",
            "Authori-zation: Bearer {token}",
            "Sec-WebSocket-Protocol: bearer, {token}", (BEARER, BEARER),
            (BEARER, "authorization: Bearer x"),
            ("Authorization: Basic eDp5", BEARER)),
    *tokens(BROKEN, "Authorization : Bearer {token}", " Authorization: Bearer {token}",
            "Authorization\t: Bearer {token}", "Authorization\0: Bearer {token}",
            "Authorization: Bearer {token}\0", "Authorization: \0Bearer {token}", "Authorization"),
    # Some proxies join a folded header, or drop what is no header.
    *tokens(BROKEN, "Authorization: Bearer\r\n {token}", "Authorization:\r\n\tBearer {token}",
            "Authorization: Bearer {token}\r", ": x\r\nAuthorization: Bearer {token}", resolved=GUARDED),
    *[Attempt("token", IGNORED, f"/admin?{query}", token=("X: {token}",))
      for query in ("token={token}", "access_token={token}", "authorization=Bearer+{token}")],
    # Headers that would have the token, the host or the identity dropped on the way.
    *headers(GUARDED, "Connection: keep-alive, authorization",
             "Connection: Authorization, X-Original-URI",
             "Connection: close, x-original-uri, x-original-method, x-forwarded-uri, host",
             refused_by=("traefik", "envoy")),
    *headers(GUARDED, "Max-Forwards: 0", refused_by=("apache",)),
    *headers(GUARDED, "Connection: x-auth-user-id, remote-user, x-auth-abilities",
             "Keep-Alive: authorization",
             "Proxy-Connection: authorization", "TE: trailers", "Trailer: Authorization",
             ("Connection: TE, Trailer", "TE: trailers", "Trailer: X-Auth-User-Id"),
             # The application's identity headers, of which none may arrive.
             IDENTITY, tuple(line.lower() for line in IDENTITY), tuple(line.upper() for line in IDENTITY),
             IDENTITY * 2, tuple(line.replace(": ", ":") for line in IDENTITY),
             tuple(line.replace(": ", ":\t ") for line in IDENTITY),
             # What names another request or client for some servers.
             "X-Original-Host: git.example.org", "X-Host: git.example.org",
             "Forwarded: for=127.0.0.1;host=x", "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1",
             "Via: 1.1 bearerd", "X-Envoy-Internal: true", "X-Envoy-External-Address: 127.0.0.1",
             "X-Forwarded-Proto: https", "Referer: http://app.example.org/public/page",
             "Origin: http://app.example.org", "X-Requested-With: XMLHttpRequest", "Range: bytes=0-1",
             "If-None-Match: *", "Cache-Control: only-if-cached", "X-Accel-Redirect: /public/page",
             "X-Sendfile: /public/page", "Accept: text/html", "Expect:", "Content-Length: 0",
             # Credentials of another user besides the token.
             "Cookie: session=x", "Proxy-Authorization: Basic eDp5"),
    *headers(UNREADABLE, "Host: git.example.org", "Host: app.example.org", "x\0: y", "x: y\0", "x y: z",
             "x : y", "\x7f: y"),
    *headers(UNREADABLE, " x: folded", ":", "no-colon", "X: a\rb", "(): y", resolved=GUARDED),
    # A question about a public page is not a question about another one.
    *headers(PUBLIC, "Connection: x-original-uri, x-forwarded-uri", IDENTITY, "Referer: /admin",
             target="/public/page"),
    *tokens(PUBLIC, "Authorization: Bearer x", "Authorization: x", target="/public/page"),
    *tokens(PUBLIC, (BEARER, BEARER), target="/public/page", refused_by=("nginx", "ingress")),
]


def methods(answers, *names, **more):
    return [Attempt("method", answers, method=name, **{"target": "/posts/1", **more}) for name in names]


# A rule lets those read posts who may, and another one lets those write who may.
METHODS = [
    *methods(GUARDED, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"),
    *methods(GUARDED, "INVENTED", "QUERY", "GETS", "HEADER", "M-SEARCH", "POST_GET",
             refused_by=("envoy",)),
    *methods(GUARDED, "TRACE", "LOCK", refused_by=("nginx", "ingress", "apache")),
    # bearerd refuses these because some application may accept them as GET. Apache's own rules don't.
    *methods(UNREADABLE, "get", "Get", "gET", "head", "Head", resolved=GUARDED),
    *methods(UNREADABLE, "GET,POST", "GET POST", "G\tET", "", "GET\0", "\xc7ET", "GET/posts", "(GET)",
             "GET:"),
    *methods(UNREADABLE, "COPY", "MOVE", "LINK", "SEARCH", "REPORT", "BIND", "MERGE"),
    # No header and no field changes the method.
    *[Attempt("method", answers, "/posts/1" + query, method, headers=lines)
      for method, answers in (("GET", GUARDED), ("POST", GUARDED))
      for query in ("?_method=GET", "?_method=DELETE", "?x-http-method-override=PUT")
      for lines in ((), ("X-Forwarded-Method: GET",), ("Method: DELETE",))],
    Attempt("method", GUARDED, "/posts/1", headers=("X-Method: DELETE",), refused_by=("apache",)),
]
