"""Sizes as Kubernetes writes them."""

import re

from voicefleet.api.types import Quantity

_SHAPE = re.compile(r"([0-9.]+)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_THOUSANDTHS = {
    "m": 1, "": 1000, "k": 10**6, "M": 10**9, "G": 10**12, "T": 10**15,
    "Ki": 1000 << 10, "Mi": 1000 << 20, "Gi": 1000 << 30, "Ti": 1000 << 40,
}  # fmt: skip


def bytes_of(quantity: Quantity) -> int:
    """Return how many bytes a size stands for; a part of a byte is none."""
    shape = _SHAPE.fullmatch(str(quantity))
    if shape is None:
        raise ValueError(f"{quantity!r} is not a size")
    whole, _, fraction = shape[1].partition(".")
    return int(whole + fraction.ljust(3, "0")) * _THOUSANDTHS[shape[2] or ""] // 1_000_000
