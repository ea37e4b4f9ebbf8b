"""`voicefleet-worker`: run the VoiceAgent of a mounted spec as a worker of LiveKit."""

import argparse
import contextlib
import importlib.metadata
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from voicefleet.names import (
    AGENT_FILE,
    CONTROL_PORT,
    LAST_WORDS_FILE,
    LAST_WORDS_PREFIX,
    LOOKOUT_FLAG,
    POOL_FILE,
    SPEC_DIRECTORY,
    TEXTS_DIRECTORY,
    WRITABLE_DIRECTORY,
)
from voicefleet_worker.environment import settle_environment
from voicefleet_worker.flags import DEFAULT_SECRETS, DEFAULT_TOKEN_FILE, LOG_LEVELS, Flags
from voicefleet_worker.preloading import begin_loading, stop_loading
from voicefleet_worker.problems import BadInputError

if TYPE_CHECKING:
    from voicefleet_worker.settings import Settings

PROGRAM = "voicefleet-worker"
BAD_INPUT = 2
_EPILOG = """\
environment, winning over the files:
  LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET   the LiveKit server
  LOG_LEVEL                                          as --log-level
  STT_MODEL, LLM_MODEL, TTS_MODEL, TTS_VOICE_ID      models and voice of the providers that calls begin with
  REALTIME_MODEL                                     the same for the one that does it all
  PLATFORM_API_URL                                   where a call's variables are looked up
  OPENAI_API_KEY and so on                           outside Kubernetes: key api-key of Secret openai
  WORKER_NUM_IDLE_PROCESSES                          processes that wait for calls
  WORKER_FILES_DIRECTORY                             where recordings lie until they are kept
  WORKER_LONGEST_UPLOAD_PAUSE_SECONDS                between tries to keep one (default: 60)

signals:
  SIGTERM, SIGINT   take no new calls, let the live ones finish, exit 0
  SIGINT again      end the live calls now

exit status: 0 after draining, 1 after a failure, 2 for input that cannot be used.
"""


def program() -> NoReturn:
    """Be the process: end it with the command line's exit status."""
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of Rust bring what uploads came to, and one that does while Python takes itself apart aborts the process.
    # By now nobody waits for anything that is taken apart.
    os._exit(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    flags = _parse(arguments)
    # The first process of a container does not hear a signal that it has not asked for: told to go while it
    # loads, it would come up, take calls, and be killed with them. Nothing is promised yet, so it just goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settle_environment()
    if not flags.lookout:
        begin_loading(flags.spec, flags.pool)
    # Each call's process begins by importing what the program began with, this module, and pays for all that it loads.
    from voicefleet_worker.settings import load_settings  # noqa: PLC0415

    try:
        return _run(load_settings(flags, os.environ), lookout=flags.lookout)
    except BadInputError as error:
        stop_loading()
        words = f"{LAST_WORDS_PREFIX}{error}\n"
        sys.stderr.write(words)
        _leave_for_the_kubelet(words)
        return BAD_INPUT


def _run(settings: "Settings", *, lookout: bool) -> int:
    # Heavy, and not needed to say what is wrong with a file.
    if lookout:
        from voicefleet_worker.lookout import look_out  # noqa: PLC0415

        return look_out(settings)
    from voicefleet_worker.run import run  # noqa: PLC0415

    return run(settings)


def _leave_for_the_kubelet(words: str) -> None:
    """Leave words where the operator hears of them; outside of a pod there is no such file, and none is made."""
    with contextlib.suppress(OSError), Path(LAST_WORDS_FILE).open("r+", encoding="utf-8") as file:
        file.write(words)


def _parse(arguments: Sequence[str] | None) -> Flags:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Run the VoiceAgent of a mounted spec as a worker of LiveKit.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_files(parser)
    parser.add_argument(
        "--control-host", metavar="ADDRESS", default="",
        help="where to listen (default: everywhere, without a token 127.0.0.1)",
    )  # fmt: skip
    parser.add_argument(
        "--control-port", type=_port, metavar="PORT", default=CONTROL_PORT,
        help="probes, metrics, state and cordon; 0 takes a free one and logs it (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, metavar="DIR",
        help=f"for records that wait to be sent (default: {WRITABLE_DIRECTORY} if there is one, else none is kept)",
    )  # fmt: skip
    parser.add_argument(
        LOOKOUT_FLAG, action="store_true", help="take no calls, and look for those of agents without workers when asked"
    )
    parser.add_argument("--log-level", choices=LOG_LEVELS, help="default: the spec's worker.logLevel")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {importlib.metadata.version('voicefleet')}")
    return Flags(**vars(parser.parse_args(arguments)))


def _add_files(parser: argparse.ArgumentParser) -> None:
    mounted = (
        ("--spec", "FILE", Path(SPEC_DIRECTORY, AGENT_FILE), "the VoiceAgent, JSON or YAML"),
        ("--pool", "FILE", Path(SPEC_DIRECTORY, POOL_FILE), "its ProviderPool, JSON or YAML"),
        ("--secrets", "DIR", DEFAULT_SECRETS, "a folder per Secret, in it a file per key"),
        ("--texts", "DIR", Path(TEXTS_DIRECTORY), "a folder per ConfigMap with instructions, in it a file per key"),
        ("--control-token-file", "FILE", DEFAULT_TOKEN_FILE, "bearer token of the control port"),
    )
    files = parser.add_argument_group("files")
    for flag, shape, path, meaning in mounted:
        files.add_argument(flag, type=Path, metavar=shape, default=path, help=f"{meaning} (default: %(default)s)")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return int(text)


if __name__ == "__main__":
    program()
