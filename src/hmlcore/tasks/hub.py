"""The Hugging Face hub: is it there?"""

import contextlib
import os
import urllib.error
import urllib.request


def require_hub() -> None:
    """Find out in seconds what the hub's own client finds out in half a minute of retries.

    Raises: ConnectionError where ``HF_HUB_OFFLINE`` says so; URLError where the hub cannot be reached.
    """
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in {"1", "ON", "YES", "TRUE"}:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    with contextlib.suppress(urllib.error.HTTPError):  # an answer, whatever it says: the hub is there
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=10).close()
