"""The table of streams: bytes that hide a second request in the first one, for a server that finds the end
of the first one elsewhere ("request smuggling"). To add one, add a row.

Each stream is a request with a body, and in it a hidden request for `/admin/hidden`, for which no token of
these tests suffices. A request without tricks follows. If bearerd can't be sure where the first request
ends, it must answer only once, with 400. For the other rows, `after` has its answers to the requests that
follow; for bearerd, the path `/admin/hidden` does not exist. Through a proxy, the application must see no
hidden request, and no request that another server may take for several."""

from dataclasses import dataclass

from servers import HOST

HIDDEN = (f"GET /admin/hidden HTTP/1.1\r\nHost: {HOST}\r\nRemote-User: root@example.org\r\n"
          "X-Auth-User-Id: 1\r\nX-Auth-User-Name: root\r\nX-Auth-Token-Id: 1\r\n"
          "X-Auth-Abilities: app:admin\r\nX-Original-Method: GET\r\nX-Original-URI: /public/x\r\n\r\n")
LAST = f"GET /public/last HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
# bearerd's answers after the first one: none, because it closes the connection; one to the last request; one
# to the hidden request too.
CLOSED, ONE, BOTH = (), (404,), (404, 404)


@dataclass(frozen=True)
class Stream:
    name: str
    # The lines after the request's own, up to the blank line, and what follows it.
    lines: str
    body: str
    after: tuple | None = None
    version: str = "1.1"


def chunked(body, end="\r\n"):
    return f"{len(body):x}{end}{body}{end}0{end}{end}"


CHUNKED = "Transfer-Encoding: chunked"
LENGTH = len(HIDDEN)
STREAMS = [
    # Two lengths.
    Stream("CL.TE", f"Content-Length: {len(HIDDEN) + 5}\r\n{CHUNKED}", "0\r\n\r\n" + HIDDEN),
    Stream("TE.CL", f"{CHUNKED}\r\nContent-Length: 4", chunked(HIDDEN)),
    Stream("TE.0", f"{CHUNKED}\r\nContent-Length: 0", chunked(HIDDEN)),
    Stream("two equal lengths", "Content-Length: 5\r\nContent-Length: 5", "hello"),
    Stream("two lengths", f"Content-Length: 0\r\nContent-Length: {LENGTH}", HIDDEN),
    Stream("two lengths, the other way", f"Content-Length: {LENGTH}\r\nContent-Length: 0", HIDDEN),
    Stream("a list of lengths", f"Content-Length: 0, {LENGTH}", HIDDEN),
    Stream("a list of equal lengths", f"Content-Length: {LENGTH}, {LENGTH}", HIDDEN),
    # Lengths that are no numbers.
    *(Stream(f"length {text!r}", f"Content-Length: {text}", HIDDEN) for text in (
        f"+{LENGTH}", "-1", "", f"0x{LENGTH:x}", f"{LENGTH}.0", "1e2", f"{LENGTH} {LENGTH}", "\xb2",
        str(2 ** 64 + LENGTH), str(2 ** 32 + LENGTH) + "0" * 20, f"{LENGTH}\0", f"{LENGTH};",
        f"'{LENGTH}'")),
    Stream("length after a space", f"Content-Length : {LENGTH}", HIDDEN),
    Stream("length after a tab", f"Content-Length\t: {LENGTH}", HIDDEN),
    Stream("length after a NUL", f"Content-Length\0: {LENGTH}", HIDDEN),
    Stream("length on a folded line", f"Content-Length:\r\n {LENGTH}", HIDDEN),
    Stream("length folded into another header", f"X: y\r\n Content-Length: {LENGTH}", HIDDEN),
    Stream("length after a bare CR", f"X: y\rContent-Length: {LENGTH}", HIDDEN),
    # Encodings that only some servers take for chunked.
    *(Stream(f"TE.TE {text!r}", text, chunked(HIDDEN)) for text in (
        "Transfer-Encoding: xchunked", "Transfer-Encoding: chunkedx", "Transfer-Encoding: chunk",
        "Transfer-Encoding: identity", "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked", "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: ,chunked", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked\x0c", "Transfer-Encoding: chunked\0", "Transfer-Encoding:",
        "Transfer-Encoding: x", "Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked",
        "Transfer-Encoding\0: chunked", " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked", "Transfer-Encoding:\r\n chunked",
        "X: y\rTransfer-Encoding: chunked", f"{CHUNKED}\r\n{CHUNKED}",
        f"{CHUNKED}\r\nTransfer-Encoding: identity", f"Transfer-Encoding: identity\r\n{CHUNKED}",
        f"{CHUNKED}\r\nTransfer-Encoding: x")),
    # The same beside a length.
    *(Stream(f"CL.TE {text!r}", f"Content-Length: {len(HIDDEN) + 5}\r\n{text}", "0\r\n\r\n" + HIDDEN,
             after)
      for text, after in (
          ("Transfer-Encoding: xchunked", None), ("Transfer-Encoding : chunked", None),
          (" Transfer-Encoding: chunked", None), ("Transfer-Encoding: \x0bchunked", None),
          ("Transfer-Encoding: identity", None), ("Transfer-Encoding: Chunked", None),
          ("X: y\rTransfer-Encoding: chunked", None), ("X: y\nTransfer-Encoding: chunked", None),
          ("Transfer_Encoding: chunked", ONE), ("Transfer.Encoding: chunked", ONE),
          ("X-Transfer-Encoding: chunked", ONE), ("TE: chunked", ONE))),
    # HTTP/1.0 has no chunks.
    Stream("chunks in HTTP/1.0", CHUNKED, chunked(HIDDEN), version="1.0"),
    Stream("both in HTTP/1.0", f"Connection: keep-alive\r\nContent-Length: 5\r\n{CHUNKED}", chunked(HIDDEN),
           version="1.0"),
    Stream("a version of the future", f"Content-Length: {LENGTH}", HIDDEN, version="1.2"),
    Stream("version 2.0", f"Content-Length: {LENGTH}", HIDDEN, version="2.0"),
    # Chunks that servers read in different ways.
    Stream("chunk extension", CHUNKED, f"{LENGTH:x};x=y\r\n{HIDDEN}\r\n0\r\n\r\n", ONE),
    Stream("quoted chunk extension", CHUNKED, f"{LENGTH:x};x=\"\r\n0\r\n\r\n\"\r\n{HIDDEN}\r\n0\r\n\r\n",
           CLOSED),
    Stream("chunk extension with LF", CHUNKED, f"2;\nxx\r\n{LENGTH:x}\r\n0\r\n\r\n{HIDDEN}0\r\n\r\n",
           CLOSED),
    Stream("chunk extension with CR", CHUNKED, f"2;\rxx\r\n{LENGTH:x}\r\n0\r\n\r\n{HIDDEN}0\r\n\r\n",
           CLOSED),
    *(Stream(f"chunk size {size!r}", CHUNKED, f"{size}\r\n{HIDDEN}\r\n0\r\n\r\n", CLOSED) for size in (
        f"0x{LENGTH:x}", f"+{LENGTH:x}", f"-{LENGTH:x}", f" {LENGTH:x}", "", "g", f"{LENGTH:x}\0",
        f"1{LENGTH:016x}", f"{LENGTH:x} x", f"{LENGTH:x},1", f"{LENGTH:x}_0")),
    Stream("chunk without its end", CHUNKED, f"{LENGTH:x}\r\n{HIDDEN}xx0\r\n\r\n", CLOSED),
    Stream("chunk that ends with LF", CHUNKED, chunked(HIDDEN, "\n"), CLOSED),
    Stream("chunk that ends with CR", CHUNKED, chunked(HIDDEN, "\r"), CLOSED),
    Stream("last chunk 00", CHUNKED, f"5\r\nhello\r\n00\r\n\r\n", ONE),
    Stream("last chunk with LF", CHUNKED, f"5\r\nhello\r\n0\n\n{HIDDEN}", CLOSED),
    Stream("trailer", CHUNKED, f"5\r\nhello\r\n0\r\nContent-Length: {LENGTH}\r\n"
           "X-Auth-Abilities: app:admin\r\n\r\n", ONE),
    Stream("trailer with LF", CHUNKED, f"5\r\nhello\r\n0\r\nX: y\n\n{HIDDEN}", ONE),
    # A body where some servers expect none, and the other way round.
    Stream("a hidden body", f"Content-Length: {LENGTH}", HIDDEN, ONE),
    Stream("a hidden chunked body", CHUNKED, chunked(HIDDEN), ONE),
    Stream("upgrade to HTTP/2", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
           "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA", HIDDEN, BOTH),
    Stream("upgrade to a WebSocket", "Connection: Upgrade\r\nUpgrade: websocket\r\n"
           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", HIDDEN, CLOSED),
    Stream("upgrade with a body", f"Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: {LENGTH}",
           HIDDEN, ONE),
    Stream("expectation", f"Expect: 100-continue\r\nContent-Length: {LENGTH}", HIDDEN, ONE),
    Stream("unknown expectation", f"Expect: x\r\nContent-Length: {LENGTH}", HIDDEN, ONE),
    # A second request in the open. It is answered like any other.
    Stream("pipelined", "Content-Length: 0", HIDDEN, BOTH),
    Stream("pipelined after blank lines", "Content-Length: 0", "\r\n\r\n" + HIDDEN, BOTH),
    Stream("pipelined after a body", "Content-Length: 5", "hello" + HIDDEN, BOTH),
    # Lines that end in another way.
    Stream("header with LF", f"X: y\nContent-Length: {LENGTH}", HIDDEN, ONE),
    Stream("blank line with LF", "Content-Length: 0\n\nx: ", HIDDEN, (400,)),
    Stream("request in a header", f"X: y\r\n\r\n{HIDDEN}", "", BOTH),
    Stream("request line in a header", "X: y\r\nGET /admin/hidden HTTP/1.1\r\nY: z", ""),
    Stream("request after CR in a header", f"X: y\r\r{HIDDEN}", ""),
]


def wire(stream, place, *lines):
    """The bytes of a stream, with these lines in its first request. bearerd is asked as nginx asks it."""
    target = "PUT /api/verify" if place == "bearerd" else "POST /posts/1"
    naming = ("X-Original-Method: POST", "X-Original-URI: /posts/1") if place == "bearerd" else ()
    head = [f"{target} HTTP/{stream.version}", f"Host: {HOST}", *naming, *lines, stream.lines, "", ""]
    return ("\r\n".join(head) + stream.body + LAST).encode("latin-1")
