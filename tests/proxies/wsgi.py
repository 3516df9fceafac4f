"""The application that uWSGI runs for the tests. It answers with the request that it sees."""

import json


def application(environment, start_response):
    seen = [[name, value] for name, value in environment.items() if isinstance(value, str)]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]
