"""The routes: every service twice, at its own path and under `/{instance}`."""

from collections.abc import AsyncIterator

from aiohttp import web

from e2e.providers import (
    anthropic_messages,
    assemblyai_listen,
    cartesia_listen,
    cartesia_speak,
    control,
    deepgram_listen,
    deepgram_speak,
    elevenlabs_speak,
    gemini_generate,
    openai_audio,
    openai_chat,
    openai_realtime,
)
from e2e.providers.gate import Handler, guard
from e2e.providers.hearing import Hearing
from e2e.providers.studio import STUDIO, Studio
from e2e.providers.wire import HearingMode

_ELEVENLABS_PATH = "/elevenlabs/v1/text-to-speech/{voice}/multi-stream-input"
_GEMINI_PATH = "/google/v1/models/{model}:streamGenerateContent"
# Method, path, provider, service as the control API calls it, handler.
SERVICES: tuple[tuple[str, str, str, str, Handler], ...] = (
    ("GET", "/deepgram/v1/listen", "deepgram", "listen", deepgram_listen.listen),
    ("POST", "/deepgram/v1/listen", "deepgram", "listen", deepgram_listen.listen),
    ("GET", "/deepgram/v2/listen", "deepgram", "listen", deepgram_listen.listen_for_turns),
    ("GET", "/deepgram/v1/speak", "deepgram", "speak", deepgram_speak.speak),
    ("POST", "/deepgram/v1/speak", "deepgram", "speak", deepgram_speak.speak),
    ("GET", "/openai/v1/models", "openai", "models", openai_chat.list_models),
    # The speech plugin warms its connection up with the bare root.
    ("GET", "/openai/v1/", "openai", "models", openai_chat.list_models),
    ("POST", "/openai/v1/chat/completions", "openai", "chat", openai_chat.complete),
    ("POST", "/openai/v1/audio/transcriptions", "openai", "transcriptions", openai_audio.transcribe),
    ("POST", "/openai/v1/audio/speech", "openai", "speech", openai_audio.speak),
    ("GET", "/openai/v1/realtime", "openai", "realtime", openai_realtime.converse),
    # Under a path it does not know, the realtime plugin takes its base URL for the whole of it.
    ("GET", "/openai/v1", "openai", "realtime", openai_realtime.converse),
    ("GET", "/cartesia/stt/websocket", "cartesia", "stt", cartesia_listen.listen),
    ("GET", "/cartesia/stt/turns/websocket", "cartesia", "stt", cartesia_listen.listen_for_turns),
    ("GET", "/cartesia/tts/websocket", "cartesia", "tts", cartesia_speak.speak),
    ("POST", "/cartesia/tts/bytes", "cartesia", "tts", cartesia_speak.speak_bytes),
    ("POST", "/anthropic/v1/messages", "anthropic", "messages", anthropic_messages.complete),
    ("GET", "/assemblyai/v3/ws", "assemblyai", "stt", assemblyai_listen.listen),
    ("GET", _ELEVENLABS_PATH, "elevenlabs", "tts", elevenlabs_speak.speak),
    ("POST", _GEMINI_PATH, "google", "generate", gemini_generate.generate),
)
_INSTANCE = "/{instance:[a-z0-9][a-z0-9-]*}"
_LARGEST_UPLOAD_BYTES = 64 << 20


def build_app(*, hearing_mode: HearingMode = "hear") -> web.Application:
    """Build the server with nothing broken and nothing scripted."""
    app = web.Application(client_max_size=_LARGEST_UPLOAD_BYTES)
    app[STUDIO] = Studio(hearing=Hearing(hearing_mode))
    for method, path, route in control.ROUTES:
        app.router.add_route(method, path, route)
    for method, path, provider, service, handler in SERVICES:
        guarded = guard(provider, service, handler)
        app.router.add_route(method, path, guarded)
        app.router.add_route(method, _INSTANCE + path, guarded)
    app.cleanup_ctx.append(_close_recogniser)
    return app


async def _close_recogniser(app: web.Application) -> AsyncIterator[None]:
    yield
    app[STUDIO].hearing.recogniser.close()
