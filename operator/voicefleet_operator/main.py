"""The command: read the settings, set up logging, run."""

import asyncio
import logging
import os
import sys
from collections.abc import Mapping, Sequence

from voicefleet_operator.errors import ConfigError
from voicefleet_operator.lead.place import claim
from voicefleet_operator.logs import configure_logs
from voicefleet_operator.settings import parse_arguments

_BAD_CONFIGURATION = 2
# Objects are read as deep as a thousand levels, and whatever compares two of them takes some steps for each.
_LEVELS = 5_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operator until it is told to stop; return the exit code."""
    try:
        settings = parse_arguments(arguments, _environment())
        configure_logs(settings.log_level)
        sys.setrecursionlimit(_LEVELS)
        # Late, since it brings kopf and the client along, and --help should not wait for them.
        from voicefleet_operator.program import run  # noqa: PLC0415

        return asyncio.run(run(settings))
    except ConfigError as error:
        print(f"voicefleet-operator: {error}", file=sys.stderr)  # noqa: T201 - for whoever started it
        return _BAD_CONFIGURATION
    except KeyboardInterrupt:
        return 130
    except Exception:
        logging.getLogger(__name__).exception("the operator ends")
        return 1


def _environment() -> Mapping[str, str]:
    """Return what the pod says about itself; its uid only if this process is alone in it."""
    uid = os.environ.get("POD_UID", "")
    is_alone = uid != "" and claim(uid)
    return {name: value for name, value in os.environ.items() if is_alone or name != "POD_UID"}


if __name__ == "__main__":
    sys.exit(main())
