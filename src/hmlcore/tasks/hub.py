"""The Hugging Face hub: is it there, and what is said where it is not."""

import contextlib
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from hmlcore.errors import HmlcoreError


def require_hub() -> None:
    """Find out in seconds what the hub's own client finds out in half a minute of retries.

    Raises: ConnectionError where ``HF_HUB_OFFLINE`` says so; URLError where the hub cannot be reached.
    """
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in {"1", "ON", "YES", "TRUE"}:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    with contextlib.suppress(urllib.error.HTTPError):  # an answer, whatever it says: the hub is there
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=10).close()


@contextmanager
def downloading(what: str, repository: str, remedy: str) -> Iterator[None]:
    """`repository` is read from the hub inside the block.

    Raises: HmlcoreError that `what` ("the reviews are") not here, and the `remedy`. Whatever goes wrong between
        here and servers, in several libraries, means one thing to the reader.
    """
    try:
        require_hub()
        yield
    except HmlcoreError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise HmlcoreError(
            f"{what} not here: HMLCORE_DATA is not set, and downloading {repository} failed "
            f"({type(error).__name__}: {reason}). {remedy}"
        ) from error
