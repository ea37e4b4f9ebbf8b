"""What may go wrong on the way to the cluster, by what happens next."""

from http import HTTPStatus

_FOR_A_PERSON = (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY)


class ApiError(Exception):
    """The apiserver refused a request; 0 stands for a server that could not be reached."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason

    @property
    def is_for_now(self) -> bool:
        """Whether the server could not be reached, or has too much to do, or is ill."""
        return self.status in (0, HTTPStatus.TOO_MANY_REQUESTS) or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def needs_a_person(self) -> bool:
        """Whether time does not mend it: a quota, a policy, a template that the cluster does not take.

        A webhook refuses with whatever status it likes, and one that cannot be called is an internal error.
        """
        return self.status in _FOR_A_PERSON or "webhook" in str(self)


class NotLeaderError(Exception):
    """A change was asked of a process that may no longer make any."""


class ConfigError(Exception):
    """The program was started in a way that cannot work; the message tells the person who started it what to do."""
