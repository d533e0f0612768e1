"""Check with one request whether a server answers within a time limit."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException


@dataclass(frozen=True)
class Answer:
    """A server's HTTP status, or the error of the request. Both are None after the time limit."""

    status: int | None = None
    reason: str = ""  # of the status, in the server's words
    error: Exception | None = None


def send_request(url: str, timeout: float, method: str = "HEAD") -> Answer:
    """Send a request, through the environment's proxy if there is one, and return the answer.

    Parameters
    ----------
    url : str
    timeout : float
        Seconds, the look-up of the server's name included.
    method : str
        HEAD or GET.
    """
    answers: list[Answer] = []

    def request() -> None:
        try:
            opener = urllib.request.build_opener()
            with opener.open(urllib.request.Request(url, method=method), timeout=timeout) as answer:
                answers.append(Answer(answer.status))
        except urllib.error.HTTPError as error:
            error.close()
            answers.append(Answer(error.code, str(error.reason)))
        except urllib.error.URLError as error:
            answers.append(Answer(error=error.reason if isinstance(error.reason, OSError) else error))
        except (OSError, ValueError, HTTPException) as error:  # ValueError: an address that cannot be read
            answers.append(Answer(error=error))

    # In a thread that may outlast the call, because looking a name up has no time limit.
    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(timeout)
    answer = next(iter(answers), Answer())
    return Answer() if isinstance(answer.error, TimeoutError) else answer
