"""The Hugging Face hub: whether it can be reached, and snapshots of a model's files.

Without a network the hub libraries retry for 23 to 47 seconds a call. They read `HF_HUB_OFFLINE`
once, when they are imported. This module therefore tries the hub once per process, before that
import if possible. If the hub does not answer, cached copies load at once and others fail at once.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import ssl
import sys
import urllib.parse
from pathlib import Path

from src.errors import UserError, flatten, shortened
from src.runtime.connection import send_request
from src.runtime.logs import log_once

log = logging.getLogger(__name__)

ENDPOINT = "https://huggingface.co"
CONVERTER = "SFconvertbot"  # account of the hub; transformers loads its conversions too
SWITCHES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
REPOSITORY = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?", re.ASCII)  # the rest: `is_hub_id`
REVISION = re.compile(r"[A-Za-z0-9][\w./+-]{0,254}")


def log_request(path: str) -> None:
    """Log that the hub is asked for a model or a dataset, which may take long."""
    log_once(log, f"{path}: asking the hub; files that its cache lacks are downloaded", logging.INFO)


def is_hub_id(text: str) -> bool:
    """Return whether a text can be the id of a repository of the hub: ``name`` or ``owner/name``.

    >>> [is_hub_id(text) for text in ("gpt2", "google-bert/bert-base-uncased", "../up", "a/b/c", "a b", "x.git")]
    [True, True, False, False, False, False]
    """
    if not REPOSITORY.fullmatch(text):  # saves the import below for most paths
        return False
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return True


def looks_like_path(text: str) -> bool:
    """Return whether a text can only be a folder, since hub ids are ``name`` or ``owner/name``."""
    return text.startswith((".", "/", "~")) or text.count("/") > 1 or "\\" in text or Path(text).exists()


def check_revision(key: str, revision: str | None) -> None:
    """Raise a UserError if a revision is no branch, tag or commit; `key` is what the user calls it.

    The library looks for a file of that name in its cache.
    """
    if revision is not None and (not REVISION.fullmatch(revision) or ".." in revision):
        raise UserError(f"{key}={shortened(revision)} is not a revision of the hub. Give a branch, a tag or a commit.")


def go_offline_unless_reachable(seconds: float = 5.0) -> bool:
    """Return whether the hub answers; if not, switch the hub libraries to their caches.

    The hub is contacted once per process, and not at all with `HF_HUB_OFFLINE=1`.

    Parameters
    ----------
    seconds : float
        Time limit. Any HTTP status counts as an answer.

    Raises
    ------
    UserError
        HF_ENDPOINT is not an address, or contains a user name and a password.
    """
    if any(os.environ.get(switch, "").upper() in {"1", "ON", "YES", "TRUE"} for switch in SWITCHES):
        return False
    reachable = _reachable(_endpoint(), seconds)
    if not reachable:
        _go_offline()
    return reachable


def _endpoint() -> str:
    """Return the hub's address."""
    given = os.environ.get("HF_ENDPOINT") or ENDPOINT
    try:
        parts = urllib.parse.urlsplit(given)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, sound = None, False
    if not sound or (parts is not None and "@" in parts.netloc):
        raise UserError(
            "HF_ENDPOINT in the environment is not the address of a hub, like https://hub.example:8080, without a user "
            "name and a password. Correct it, or unset it."
        )
    return given


@functools.cache
def _reachable(endpoint: str, seconds: float) -> bool:
    answer = send_request(endpoint, seconds)
    # A certificate that Python cannot check still comes from a server.
    return answer.status is not None or isinstance(answer.error, ssl.SSLError)


def _go_offline() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    for module in ("huggingface_hub.constants", "datasets.config"):
        if module in sys.modules:
            sys.modules[module].HF_HUB_OFFLINE = True  # type: ignore[attr-defined]


def snapshot(path: str, revision: str | None, patterns: list[str]) -> tuple[Path, str]:
    """Return a local copy of a model's files, from the cache or the hub.

    Parameters
    ----------
    path : str
        Hub id, ``name`` or ``owner/name``.
    revision : str or None
        Branch, tag or commit; None is the default branch.
    patterns : list of str
        File name patterns to download.

    Returns
    -------
    (Path, str)
        The folder and the commit that the revision resolved to.

    Raises
    ------
    UserError
        The id is malformed or unknown, the revision is unknown, the repository is gated, or the hub
        cannot be reached and its cache has no copy.
    """
    if not is_hub_id(path):
        raise UserError(f"model.path '{path}' is neither a folder here nor a hub id (name or owner/name).")
    check_revision("model.revision", revision)
    online = go_offline_unless_reachable()

    import huggingface_hub
    from huggingface_hub import errors

    if online:
        log_request(path)
    try:
        folder = huggingface_hub.snapshot_download(
            path, revision=revision, allow_patterns=patterns, local_files_only=not online
        )
    except (errors.HfHubHTTPError, errors.HFValidationError, errors.LocalEntryNotFoundError, OSError) as error:
        raise _download_error(error, path, revision) from None
    return Path(folder), Path(folder).name


def _download_error(error: Exception, path: str, revision: str | None) -> UserError:
    """Return the error for a model that cannot be downloaded."""
    from huggingface_hub import errors

    wanted = f"'{path}'" + (f" at revision '{revision}'" if revision else "")
    match error:
        case errors.GatedRepoError():
            return UserError(
                f"model.path '{path}' is gated on the hub. Accept its terms at {ENDPOINT}/{path} and log in "
                "(hf auth login), or give model.path=<folder>."
            )
        case errors.RepositoryNotFoundError():
            return UserError(
                f"model.path '{path}' is not on the hub, or is private. Check the spelling, log in (hf auth login) or "
                "give model.path=<folder>."
            )
        case errors.RevisionNotFoundError():
            return UserError(
                f"model.path '{path}' has no revision '{revision}'. Set model.revision to a branch, tag or commit."
            )
        case errors.HFValidationError():
            return UserError(f"model.path '{path}' is not a hub id: {flatten(error, 160)}")
        case errors.LocalEntryNotFoundError():
            return UserError(
                f"cannot reach the hub, and {wanted} is not in its cache: connect, or give model.path=<folder>."
            )
    return UserError(
        f"cannot fetch {wanted} from the hub: {flatten(error, 200)}\nTry again, or give model.path=<folder>."
    )


def conversion(path: str) -> str | None:
    """Return the reference of the hub's own conversion of a model to safetensors, or None.

    The conversion is an open pull request. Several of Google's miniatures have only pickles on
    their main branch, and such a pull request.
    """
    online = go_offline_unless_reachable()

    import huggingface_hub
    from huggingface_hub import errors

    if not online:
        return _cached_conversion(path)
    try:
        for discussion in huggingface_hub.HfApi().get_repo_discussions(
            path, author=CONVERTER, discussion_type="pull_request"
        ):
            if discussion.git_reference is not None:
                return str(discussion.git_reference)
    except (errors.HfHubHTTPError, OSError):
        return None
    return None


def _cached_conversion(path: str) -> str | None:
    """Return the pull request whose weights are cached, or None if there is not exactly one."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    cached = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=path, repo_type="model")
    commits = {
        f"refs/pr/{each.name}": each.read_text(encoding="utf-8").strip() for each in cached.glob("refs/refs/pr/*")
    }
    whole = [
        reference for reference, commit in commits.items() if any((cached / "snapshots" / commit).glob("*.safetensors"))
    ]
    return whole[0] if len(whole) == 1 else None
