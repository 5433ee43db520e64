"""Numbers as prose and tables print them."""


def three(value: float) -> str:
    """Three significant digits, ``0.930`` or ``12.3``; whole numbers with separators from a thousand on."""
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def signed(value: float) -> str:
    """Three decimals with a sign, ``+0.110`` or ``−0.110`` (a minus, not a hyphen)."""
    return f"{value:+.3f}".replace("-", "−")


def bytes_text(count: float) -> str:
    """A number of bytes as people write it, e.g. ``16 KiB``."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"
