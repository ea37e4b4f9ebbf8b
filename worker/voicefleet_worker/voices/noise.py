"""Cleaning the caller's sound, in the worker and offline, by WebRTC's own means."""

from livekit import rtc

_PIECE_MILLISECONDS = 10
_BYTES_PER_SAMPLE = 2


class WebRtcNoiseSuppression(rtc.FrameProcessor[rtc.AudioFrame]):
    """Takes steady noise out of what callers say; speech stays."""

    def __init__(self, *, high_pass_filter: bool) -> None:
        self._module = rtc.AudioProcessingModule(noise_suppression=True, high_pass_filter=high_pass_filter)
        self._enabled = True

    @property
    def enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        self._enabled = value

    def _process(self, frame: rtc.AudioFrame) -> rtc.AudioFrame:
        """Clean a frame in pieces of ten milliseconds, as the module takes them; a shorter rest stays as it is."""
        samples = frame.sample_rate * _PIECE_MILLISECONDS // 1000
        size = samples * frame.num_channels * _BYTES_PER_SAMPLE
        sound = bytearray(frame.data.cast("B"))
        for begin in range(0, len(sound) - size + 1, size):
            piece = rtc.AudioFrame(sound[begin : begin + size], frame.sample_rate, frame.num_channels, samples)
            self._module.process_stream(piece)
            sound[begin : begin + size] = piece.data.cast("B")
        return rtc.AudioFrame(sound, frame.sample_rate, frame.num_channels, frame.samples_per_channel)

    def _close(self) -> None:
        """Do nothing any more."""
        self._enabled = False
