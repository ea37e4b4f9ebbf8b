"""Stereo sound as Opus in an Ogg file, each page of which can be played, whatever becomes of its writer."""

from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
import numpy.typing as npt

# Two voices, and room for what a line adds to them: 22 MB an hour.
_BITS_PER_SECOND = 48_000
# Two pages a second, given to the kernel at once: less is lost with a process that is killed.
_CONTAINER = {"page_duration": "500000", "flush_packets": "1"}


class OggFile:
    """A recording under way. Blocks; not for an event loop."""

    def __init__(self, path: Path, rate: int) -> None:
        self._rate = rate
        self._written = 0
        self._container = av.open(str(path), mode="w", format="ogg", options=_CONTAINER)
        self._stream = self._container.add_stream("libopus", rate=rate, layout="stereo")
        self._stream.bit_rate = _BITS_PER_SECOND

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def write(self, block: npt.NDArray[np.int16]) -> None:
        """Add sound to the end."""
        if not len(block):
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block).reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate = self._rate
        frame.pts = self._written
        self._written += len(block)
        self._container.mux(self._stream.encode(frame))
