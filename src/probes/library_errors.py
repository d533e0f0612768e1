"""Errors of other libraries as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from src.errors import UserError, flatten


@contextmanager
def single_line_errors(what: str, way_out: str, verdict: str = "is refused") -> Iterator[None]:
    """Turn an error of another library into a UserError of one line.

    The line holds `what`, the verdict, the library's message shortened, and the way out.
    """
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{what} needs more memory than there is. {way_out}") from error
    except Exception as error:
        raise UserError(f"{what} {verdict}: {flatten(error, 200).rstrip('.')}. {way_out}") from error
