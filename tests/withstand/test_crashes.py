"""Kills the server, and checks that it kept what it acknowledged."""


def test_a_token_issued_before_a_kill_passes_after_it(service):
    token = service.log_in().json()["token"]
    service.kill()
    service.start()
    assert service.status(token) == 200
