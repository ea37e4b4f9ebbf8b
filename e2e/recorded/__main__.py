"""Record the callers: `python -m e2e.recorded`. Their sound is kept, so that a regression is ours and no voice's."""

import asyncio

from e2e.providers.espeak import Voice
from e2e.recorded.recording import RECORDINGS, record


async def main() -> None:
    voice = Voice()
    for recording in RECORDINGS:
        await record(recording, voice)
        print(f"{recording.path.name}: {recording.path.stat().st_size} bytes")


asyncio.run(main())
