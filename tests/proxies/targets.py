"""Request targets by which a client may try to reach another path than the one that bearerd decides on:
a fixed corpus, and any number that are generated from a seed."""

import random

from attempts import PATHS
from servers import HOST

# Tricks that were published for servers and frameworks. `{path}` is the path to reach.
CORPUS = [
    "/public/..;/{path}", "/public;x=/../{path}", "/;/{path}", "/.;/{path}", "/public/%2e%2e;/{path}",
    "/{path};.css", "/{path}/;x", "/{path}%3b.css", "/{path}/..;/{path}", "/public/..%00/{path}",
    "/{path}%00.css", "/{path}%20", "/{path}%09", "/{path}.css", "/{path}/.", "/{path}/./", "/{path}/..",
    "/{path}//", "/./{path}", "//{path}", "///{path}", "/.//{path}", "/%2e/{path}", "/%2e%2e/{path}",
    "/public/%2e%2e/{path}", "/public/..%2f{path}", "/public%2f%2e%2e%2f{path}",
    "/public/%252e%252e/{path}", "/public/..%252f{path}", "/public/%c0%ae%c0%ae/{path}",
    "/public/..%c0%af{path}", "/public/..%c1%9c{path}", "/public/..%5c{path}", "/public\\..\\{path}",
    "/public/..\\{path}", "/public/.%5c../{path}", "/public/%u002e%u002e/{path}",
    "/public/..%u2215{path}", "/public/%uff0e%uff0e/{path}", "/public/.%2e/{path}", "/public/%2e./{path}",
    "/public/...//{path}", "/public/....//{path}", "/public/.../{path}", "/public/..%0d/{path}",
    "/public/..%0a/{path}", "/public/..%09/{path}", "/public/..%20/{path}", "/public/..%23/{path}",
    "/public/..%3f/{path}", "/public?/../{path}", "/public#/../{path}", "/public%3f/../{path}",
    "/public%23/../{path}", "/{path}?", "/{path}??", "/{path}#", "/{path}?x=/public/", "/{path}/?",
    "/?/../{path}", "/public/?/../../{path}", "/public/x/../../{path}", "/public/./../{path}",
    "/public//../{path}", "/public/..//{path}", "/public/../public/../{path}", "/public/~/../../{path}",
    "/public/:x/../../{path}", "/public/@/../../{path}", "/~/../{path}", "/public/\x7f../{path}",
    "/\t{path}", "/ {path}", " /{path}", "/{path} ", "/{path}\t", "/public /../{path}",
    "/public/.. /{path}", "/\x0b{path}", "/\xa0{path}", "/\x85{path}", "/{path}\xa0", "/{path}\x85",
    "/{path}\xff", "\xff/{path}", "/public/\xc0\xae\xc0\xae/{path}", "/public/\xe2\x80\xa5/{path}",
    "/public/..\xef\xbc\x8f{path}", "/public/..\xe2\x81\x84{path}", "/{path}\0", "/public\0/../{path}",
    "http://{host}/{path}", "http://{host}//{path}", "http://{host}/public/../{path}",
    "http://{host}\\{path}", "http://{host}#/public/../{path}", "http://{host}?/../{path}",
    "http://public@{host}/{path}", "http://{host}:80/{path}", "http://{host}:/{path}",
    "http://{host}:99999/{path}", "http://{host}./{path}", "http://{upper}/{path}",
    "HTTP://{host}/{path}", "https://{host}/{path}", "//{host}/{path}", "///{host}/{path}",
    "http:/{path}", "http:///{path}", "http:{path}", "http:////{path}", "http://git.example.org/{path}",
    "http://{host}%2f{path}", "http://{host}%00/{path}", "http://{host};/{path}", "ws://{host}/{path}",
    "file:///{path}", "{path}", "./{path}", "../{path}", "*", "*/{path}", "?/{path}", "#/{path}",
    "%2f{path}", "\\{path}", "{host}:80", "{host}/{path}", "/*/../{path}", "/public/*/../../{path}",
    "/{path}/*", "/public%", "/public/%/../../{path}", "/public/%2/../../{path}",
    "/public/%zz/../../{path}", "/public/%%2e%%2e/{path}", "/public/%25%32%65%25%32%65/{path}",
    "/public/%2%65%2%65/{path}", "/public/&/../../{path}", "/public/'/../../{path}",
    "/public/\"/../../{path}", "/public/</../../{path}", "/public/|/../../{path}",
    "/public/^/../../{path}", "/public/`/../../{path}", "/public/{{/../../{path}",
    "/public/[/../../{path}", "/public/" + "x/" * 40 + "../" * 41 + "{path}",
    "/public/" + "/" * 60 + ".." + "/{path}", "/" + "./" * 60 + "{path}",
    "/public/" + "%2e%2e/" * 3 + "{path}", "/" + "a" * 3000 + "/../{path}",
]
HIDDEN_PATHS = ["admin", "admin/users", "%61dmin", "ADMIN", "posts/1", "posts/../admin"]


def corpus():
    """Every fixed target."""
    names = {"host": HOST, "upper": HOST.upper()}
    yield from (form.format(path=path, **names) for path in HIDDEN_PATHS for form in CORPUS)
    yield from (attempt.target for attempt in PATHS)


SEGMENTS = ["public", "admin", "posts", "page", "1", "users", "x", "elsewhere"]
PARENTS = [
    "...", "....", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "%c0%ae%c0%ae", "%c0%2e%c0%2e", "..;",
    "..;x=y", "..%00", "..%20", "..%09", "..%0d", ". .", "..+", "..:", "..::$DATA", "%ef%bc%8e.",
    "%e2%80%a5", "%ef%bc%8e%ef%bc%8e", "..%e2%80%8b", "..%ef%bb%bf", "%u002e%u002e", "..%c2%a0", "..\xff",
    "..\xa0", "..%c2%ad", "%2e%2e%2e", "..%3b", "..%23", "..%3f",
]
SLASHES = [
    "//", "//", "///", "/./", "/.//", "%2f", "%2F", "%252f", "\\", "%5c", "%5C", "%255c", "/\\", "\\/",
    "%c0%af", "%e0%80%af", "%ef%bc%8f", "%e2%88%95", "%e2%81%84", "%c2%a5", "/;/", ";/", "/%20/", "/%00/",
    "%00/", "/*/", "%u2215", "/%2e/",
]
ENDS = [
    "/", "//", "/.", "/..", "/x/..", ".", "..", "%20", "%09", "%00", "%0a", "%0d%0a", ";", ";x",
    ";x=/../", "?", "?x", "?/../", "?x=%00", "#", "#x", "%23", "%3f", "%3fx", ".json", ".css", "::$DATA",
    ":x", "~", "%7f", "%c3", "%ff", "\xff", "%", "%2", "%zz", "+", "*",
]
STARTS = [
    "//", "///", "/./", "/../", "/%2e/", "/%2e%2e/", "\\", "/\\", "%2f", "", "*", "?/", "/;/", "/;x/",
    "/.;/", "http://{host}/", "http://{host}//", "http://{host}:80/", "http://x@{host}/",
    "https://{host}/", "HTTP://{upper}/", "http:/", "http:///", "http://git.example.org/", "//{host}/",
    "/%20/", "/%00/", "/%ef%bb%bf/", "/\xa0/",
]
LETTERS = {
    "a": ["%61", "%41", "A", "%2561", "%ef%bd%81", "\xe0", "%d0%b0"],
    "i": ["%69", "I", "%c4%b1", "%c4%b0", "%49"], "s": ["%73", "S", "%c5%bf", "%2573"],
    "o": ["%6f", "O", "%c2%ba"], "p": ["%70", "P"], "u": ["%75", "U"], "d": ["%64", "D", "%e2%85%be"],
    "m": ["%6d", "%6D", "M"], "n": ["%6e", "%6E", "N"], "b": ["%62", "B"], "l": ["%6c", "%e2%84%93"],
    "c": ["%63", "C"],
}
INSERTED = [
    "%00", "%e2%80%8b", "%c2%ad", "%0a", "\t", "%20", "%ef%b8%8f", ";", "%25",
]


def spelled(choose, text):
    """A segment in which some letters are others, or which has a character too many."""
    if choose.random() < 0.6:
        return "".join(choose.choice(LETTERS.get(c, [c])) if choose.random() < 0.4 else c for c in text)
    at = choose.randrange(len(text) + 1)
    return text[:at] + choose.choice(INSERTED) + text[at:]


def generated(choose):
    """A target from the grammar: a start, segments with something between them, and an end. Each part is
    plain or a trick. Most targets have one or two tricks, since one that is refused hides the others."""
    def either(plain, tricks, likely=0.12):
        return choose.choice(tricks) if choose.random() < likely else plain

    text = either("/", STARTS).format(host=HOST, upper=HOST.upper())
    # Many begin where anybody may, and go on to where few may.
    parts = [choose.choice(SEGMENTS[:3])] if choose.random() < 0.6 else []
    for _ in range(choose.randrange(1, 5)):
        name = choose.choice(SEGMENTS)
        step = either(either(name, [spelled(choose, name)]), PARENTS, 0.15)
        parts.append(either(step, ["..", "..", "."], 0.25))
    text += parts[0] + "".join(either("/", SLASHES, 0.08) + part for part in parts[1:])
    return text + either("", ENDS)


def targets(count, seed):
    """So many different targets: the corpus, or a part of it if it is more than half of them, and generated
    ones."""
    choose = random.Random(seed)
    fixed = list(dict.fromkeys(corpus()))
    found = dict.fromkeys(choose.sample(fixed, min(len(fixed), count // 2)))
    while len(found) < count:
        found[generated(choose)] = None
    return list(found)
