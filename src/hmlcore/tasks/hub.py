"""The Hugging Face hub: is it there, what is in its caches, and what is said where neither is."""

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from hmlcore.errors import HmlcoreError

_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")


def require_hub() -> None:
    """Find out in seconds what the hub's own client finds out in half a minute of retries.

    Raises: ConnectionError where one of its variables says so; URLError where the hub cannot be reached.
    """
    for name in _OFFLINE:
        if os.environ.get(name, "0").upper() in {"1", "ON", "YES", "TRUE"}:
            raise ConnectionError(f"{name} is set")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    with suppress(urllib.error.HTTPError):  # an answer, whatever it says: the hub is there
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=10).close()


@contextmanager
def downloading(what: str, repository: str, remedy: str, cached: bool = False) -> Iterator[None]:
    """`repository` is read from the hub inside the block, or where that is away and it is `cached`, from there.

    Raises: HmlcoreError that `what` ("the reviews are") not here, and the `remedy`. Whatever goes wrong between
        here and servers, in several libraries, means one thing to the reader.
    """
    away = _away()
    try:
        if away is not None and not cached:
            raise away
        with nullcontext() if away is None else _caches_only():
            yield
    except HmlcoreError:
        raise
    except Exception as error:
        reasons = [_said(away)] if away is not None else []
        if error is not away:
            reasons.append(f"from the cache, {_said(error)}" if reasons else _said(error))
        raise HmlcoreError(
            f"{what} not here: HMLCORE_DATA is not set, and downloading {repository} failed "
            f"({'; '.join(reasons)}). {remedy}"
        ) from error


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: " + str(error).strip().split("\n")[0]


def _away() -> Exception | None:
    """Why the hub is not to be had."""
    try:
        require_hub()
    except Exception as error:
        return error
    return None


@contextmanager
def _caches_only() -> Iterator[None]:
    """The hub's libraries look into their caches and ask nobody: they read the variable when they are imported,
    which may have been before it was set, or before the network was gone."""
    import datasets.config
    import huggingface_hub.constants

    known: tuple[Any, ...] = datasets.config, huggingface_hub.constants
    before = [module.HF_HUB_OFFLINE for module in known]
    try:
        for module in known:
            module.HF_HUB_OFFLINE = True
        yield
    finally:
        for module, value in zip(known, before, strict=True):
            module.HF_HUB_OFFLINE = value
