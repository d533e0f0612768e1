"""The W&B server: whether runs can be sent to it."""

from __future__ import annotations

import functools
import ssl
from http.client import HTTPException
from urllib.parse import urlsplit

from src.errors import flatten
from src.runtime.connection import send_request

SERVER_TIMEOUT = 2.0  # seconds


class WandbServer:
    """The W&B server, which is not contacted again once runs could not be sent.

    Attributes
    ----------
    refusal : str or None
        Why no run can be sent; None before a check has failed.
    """

    def __init__(self) -> None:
        self.refusal: str | None = None

    def offline_reason(self) -> str | None:
        """Return why no run can be sent, or None; a refusal is remembered."""
        self.refusal = self.refusal or offline_reason()
        return self.refusal


@functools.cache
def shared_server() -> WandbServer:
    """Return the server of this process, so that not every job of a sweep waits for it."""
    return WandbServer()


def offline_reason() -> str | None:
    """Return why no run can be sent, or None: it needs a key and a server that answers."""
    import wandb
    from pydantic import ValidationError

    try:
        settings = wandb.setup(wandb.Settings(silent=True)).settings
        if settings.mode not in ("online", "shared"):
            return f"the W&B settings say mode={settings.mode}"
        if not wandb.login(prompt=False, verify=False):
            return "no W&B API key was found"
    except wandb.errors.Error as error:
        return flatten(error)
    except ValidationError as error:  # without the values, which may contain a password
        fields = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False)
        )
        return f"the W&B settings (WANDB_... in the environment) cannot be read: {fields[:300]}"
    return check_connection(settings.base_url)


def check_connection(url: str, timeout: float | None = None) -> str | None:
    """Return why a server does not answer, or None if it does.

    Parameters
    ----------
    url : str
    timeout : float, optional
        Seconds. Default: `SERVER_TIMEOUT`.
    """
    timeout = SERVER_TIMEOUT if timeout is None else timeout
    host, answer = urlsplit(url).hostname, send_request(url, timeout, "GET")
    if answer.status is not None:  # below 500 the server works
        return f"{host} answered: {answer.status} {answer.reason}" if answer.status >= 500 else None
    if answer.error is None:
        return f"{host} did not answer within {timeout:g} s"
    if isinstance(answer.error, ssl.SSLCertVerificationError):
        return None  # the library's service has its own certificates
    if isinstance(answer.error, HTTPException | ValueError) and not isinstance(answer.error, OSError):
        return f"the answer of {host} or of the proxy is not HTTP: {flatten(answer.error, 100)}"
    return f"{host} cannot be reached: {flatten(answer.error)}"
