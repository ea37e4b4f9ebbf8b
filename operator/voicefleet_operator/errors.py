"""What may go wrong on the way to the cluster, by what happens next."""


class ApiError(Exception):
    """The apiserver refused a request; 0 stands for a server that could not be reached."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


class NotLeaderError(Exception):
    """A change was asked of a process that may no longer make any."""


class ConfigError(Exception):
    """The program was started in a way that cannot work; the message tells the person who started it what to do."""
