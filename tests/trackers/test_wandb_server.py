"""The W&B server: answers, refusals and silence."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from src.trackers import wandb_server
from src.trackers.wandb_server import check_connection
from tests.helpers.wandb import closed_port


@pytest.fixture
def server():
    """A web server on loopback that answers with the status set on it, or not at all where that is 0."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            if not self.server.status:
                time.sleep(3)
            self.send_response(self.server.status or 200)
            self.end_headers()

        do_CONNECT = do_GET  # what a proxy is asked

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as listening:
        listening.daemon_threads = True
        listening.block_on_close = False
        listening.status = 200
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening
        listening.shutdown()


@pytest.mark.parametrize(
    ("status", "reason"), [(200, None), (401, None), (404, None), (502, "127.0.0.1 answered: 502 Bad Gateway")]
)
def test_an_answer_below_status_500_is_no_reason(clean, server, status, reason):
    server.status = status
    assert check_connection(f"http://127.0.0.1:{server.server_port}") == reason


def test_a_closed_port_is_a_reason(clean):
    assert check_connection(f"http://127.0.0.1:{closed_port()}").startswith("127.0.0.1 cannot be reached: ")
    assert check_connection("http://no-such-host.invalid").startswith("no-such-host.invalid ")


def test_a_silent_server_is_a_reason(clean, server):
    server.status = 0
    clean.setattr(wandb_server, "SERVER_TIMEOUT", 0.2)
    assert check_connection(f"http://127.0.0.1:{server.server_port}") == "127.0.0.1 did not answer within 0.2 s"


def test_an_answer_that_is_not_http_is_a_reason(clean, capfd):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            connection, _ = listening.accept()
            connection.sendall(b"\x00\x1b[31mgarbage\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        reason = check_connection(f"http://127.0.0.1:{listening.getsockname()[1]}")
        thread.join()
    assert "is not HTTP" in reason and capfd.readouterr().err == ""


def test_a_proxy_is_asked_instead_of_the_server(clean, server):
    server.status = 503
    clean.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    clean.setenv("https_proxy", f"127.0.0.1:{server.server_port}")
    assert check_connection("http://no-such-host.invalid") == "no-such-host.invalid answered: 503 Service Unavailable"
    assert "503" in check_connection("https://no-such-host.invalid")
    clean.setenv("no_proxy", "127.0.0.1")
    assert check_connection(f"http://127.0.0.1:{closed_port()}").startswith("127.0.0.1 cannot be reached")


def test_the_look_up_of_a_name_has_a_time_limit(clean):
    clean.setattr(wandb_server, "SERVER_TIMEOUT", 0.1)

    def silent(*arguments: object) -> None:
        time.sleep(1)
        raise OSError("too late")

    clean.setattr(socket, "getaddrinfo", silent)
    before = time.monotonic()
    assert check_connection("https://example.invalid") == "example.invalid did not answer within 0.1 s"
    assert time.monotonic() - before < 0.9
