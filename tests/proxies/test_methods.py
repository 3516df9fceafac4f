"""Every method without a token, through each recipe: only requests for public paths pass."""

from attacks import METHODS, WITHOUT_A_TOKEN


def test_no_method_reaches_the_application_without_a_token(site):
    for method in METHODS:
        for headers in WITHOUT_A_TOKEN:
            for target in ("/admin", "/posts/1", "/elsewhere", "/"):
                answer, asked = site.ask(target, headers=headers, method=method)
                assert asked is None and answer.status >= 400, (method, headers, target, answer)


def test_options_without_a_token_is_challenged(site):
    for headers in WITHOUT_A_TOKEN:
        answer, asked = site.ask("/posts/1", headers=headers, method="OPTIONS")
        assert (answer.status, asked) == (401, None)
        assert answer.challenge.startswith("Bearer")


def test_options_passes_for_public_paths_and_with_a_token(site, tokens):
    for target, token in [("/public/page", None), ("/posts/1", tokens.writer)]:
        answer, asked = site.ask(target, token, method="OPTIONS")
        assert (answer.status, asked.method) == (200, "OPTIONS")


def test_apache_refuses_requests_that_name_a_second_resource(site, tokens):
    if site.proxy != "apache":
        return
    for method in ("COPY", "MOVE", "BIND", "REBIND", "UNBIND", "LINK", "UNLINK", "MERGE", "REPORT",
                   "SEARCH", "ORDERPATCH", "UPDATE", "BASELINE-CONTROL", "VERSION-CONTROL",
                   "MKREDIRECTREF", "UPDATEREDIRECTREF", "copy", "Move"):
        for target, token in [("/public/page", None), ("/posts/1", tokens.writer)]:
            answer, asked = site.ask(target, token, method=method)
            assert (answer.status, asked) == (403, None), method
    for method in ("PUT", "GET", "INVENTED"):
        answer, asked = site.ask("/posts/1", tokens.writer, [("Destination", "/admin")], method=method)
        assert (answer.status, asked) == (403, None)
