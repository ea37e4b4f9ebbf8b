"""Real parts for end-to-end tests and the demo: a control plane, LiveKit, Redis, and more on request.

    with Bench.up(BenchOptions(postgres=True)) as bench:
        bench.kubectl("apply", "-f", "crds/")

The owner, its keeper and the parts form a chain of processes, and whoever dies takes what is below along: the
keeper watches the owner, the kernel kills the parts with the keeper, and a real node's pods live in the node's
own PID namespace. What no process holds (a bridge, cgroups, files) is swept by the next bench that comes up.
`python -m e2e.bench --help` does the same from a shell.
"""

from e2e.bench.bench import Bench, CommandFailed
from e2e.bench.options import BenchError, BenchOptions, Livekit, NodeInfo

__all__ = ["Bench", "BenchError", "BenchOptions", "CommandFailed", "Livekit", "NodeInfo"]
