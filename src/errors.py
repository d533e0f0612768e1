"""The one exception a user is meant to read."""


class UserError(Exception):
    """Bad input, in one to three lines: what came, what is allowed, the way out. The doors print it without a traceback and exit 1."""


def flatten(error: BaseException, limit: int = 300) -> str:
    """Fold a library's message into one line of at most `limit` characters, for quoting inside a `UserError`."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."
