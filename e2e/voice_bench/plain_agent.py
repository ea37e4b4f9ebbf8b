"""The peer: the shortest livekit-agents program that does our agent's job, with the stock plugins and no line of ours.

Started as `python -m livekit.agents start plain_agent.py`, as that project's own documentation says. Whatever it does
not name is the SDK's default.
"""

import json
import os

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, TurnHandlingOptions, inference
from livekit.plugins import cartesia, deepgram, openai

AGENT_NAME = os.environ.get("PLAIN_AGENT_NAME", "plain")
GREETING = os.environ.get("PLAIN_AGENT_GREETING", "Hello.")
URLS = json.loads(os.environ.get("PLAIN_AGENT_URLS", "{}"))
LANGUAGE = "en-US"

# What the bench's VoiceAgent says, in the SDK's own words.
TURN_HANDLING: TurnHandlingOptions = {
    "endpointing": {"min_delay": 0.3, "max_delay": 0.3},
    "interruption": {
        "enabled": True,
        "mode": "vad",
        "min_duration": 0.5,
        "min_words": 0,
        "resume_false_interruption": True,
        "false_interruption_timeout": 2.0,
    },
    "preemptive_generation": {"enabled": True},
}

server = AgentServer(
    # The SDK's own measure of load is the machine's, and this machine is busy with more than this worker.
    load_fnc=lambda: 0.0,
    num_idle_processes=4,
    host="127.0.0.1",
    port=0,
)


@server.rtc_session(agent_name=AGENT_NAME)
async def entrypoint(ctx: JobContext) -> None:
    """Hold one call."""
    session: AgentSession[None] = AgentSession(
        vad=inference.VAD(activation_threshold=0.5, min_speech_duration=0.05, min_silence_duration=0.25),
        stt=deepgram.STT(base_url=URLS["deepgram_listen_url"], api_key="any", language=LANGUAGE),
        llm=openai.LLM(base_url=URLS["openai_url"], api_key="any"),
        tts=cartesia.TTS(base_url=URLS["cartesia_url"], api_key="any", language="en"),
        turn_handling={**TURN_HANDLING, "turn_detection": inference.TurnDetector(version="v1-mini")},
        user_away_timeout=600.0,
    )
    await session.start(Agent(instructions="You answer the phone."), room=ctx.room)
    session.say(GREETING)
