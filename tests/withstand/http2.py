"""HTTP/2 frames as a hostile client writes them: a client library would not send them."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
ACK = END_STREAM = 1
END_HEADERS = 4
INITIAL_WINDOW_SIZE = 4


def frame(kind, flags=0, stream=0, payload=b""):
    head = bytes([kind, flags]) + stream.to_bytes(4, "big")
    return len(payload).to_bytes(3, "big") + head + payload


def settings(**values):
    """A SETTINGS frame. The only setting is `window`: the bytes that a stream may send at first."""
    pairs = {"window": INITIAL_WINDOW_SIZE}
    return frame(SETTINGS, payload=b"".join(
        pairs[name].to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in values.items()))


def literal(index, value):
    """A header of HPACK's static table whose value is not in the table."""
    return bytes([index, len(value)]) + value.encode()


def get(path, stream, flags=END_STREAM | END_HEADERS):
    """A request: `:method GET`, `:scheme https`, `:authority` and `:path`."""
    return frame(HEADERS, flags, stream, b"\x82\x87" + literal(1, "localhost") + literal(4, path))


def frames(buffer):
    """Takes the complete frames from a `bytearray`: their type, flags and payload."""
    while len(buffer) >= 9:
        end = 9 + int.from_bytes(buffer[:3], "big")
        if len(buffer) < end:
            return
        yield buffer[3], buffer[4], bytes(buffer[9:end])
        del buffer[:end]
