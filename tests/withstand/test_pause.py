"""A server that is paused, as by a debugger or by the suspension of its machine, and then goes on."""

import signal
import socket
import time

from service import serving

REQUESTS = 64


def test_no_token_passes_that_was_revoked_while_the_server_was_paused(tmp_path):
    with serving(tmp_path) as service:
        token = service.issue()
        request = f"GET /api/user HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        clients = [service.connect() for _ in range(REQUESTS)]
        assert service.status(token) == 200
        paused = time.monotonic()
        service.process.send_signal(signal.SIGSTOP)
        service.run("token", "revoke", "1")
        # The server answers these first when it goes on, before it has read the change.
        for client in clients:
            client.sendall(request.encode())
        # What was read before the pause may pass for a second.
        time.sleep(max(0, paused + 1 - time.monotonic()))
        service.process.send_signal(signal.SIGCONT)
        answers = [socket.SocketIO(client, "r").readall() for client in clients]
        for client in clients:
            client.close()
        statuses = {answer.split()[1] for answer in answers}
        assert statuses == {b"401"}, statuses
