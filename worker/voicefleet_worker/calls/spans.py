"""Spans of a call: the SDK makes them, and whoever has set that up outside of the worker collects them."""

from livekit.agents import telemetry
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider


def guard_spans(*, words_allowed: bool) -> None:
    """Take prompts and words of callers out of all spans before anybody collects them, unless they may be there.

    By itself the SDK does so only for collectors that it is told of. It uses those as well that were there before it,
    such as an agent that was put into the pod.
    """
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        telemetry.set_tracer_provider(provider, allow_pii=words_allowed)
