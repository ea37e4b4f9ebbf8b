"""A clinic's backend to try tools against: accounts, orders and appointments, kept in memory.

    python backend.py [PORT]        # asks for the bearer token in $TOKEN, if that is set

GET    /accounts?number=+4930...        the account of a phone number
GET    /orders/{id}                     state of an order
GET    /appointments?day=2026-12-01     free times of a day
POST   /appointments                    {"day", "time", "name"}: books; 409 with free times if somebody was faster
PATCH  /appointments/{id}               {"day", "time"}: moves; the old time stays if the new one is taken
DELETE /appointments/{id}               cancels
"""

import hmac
import itertools
import json
import os
import re
import sys
import threading
from datetime import date
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TIMES = tuple(f"{hour:02}:{minute:02}" for hour in range(9, 17) for minute in (0, 30))
DAY = re.compile(r"20\d\d-\d\d-\d\d")
ACCOUNTS = {"+4930123456": {"id": "a-1", "name": "Ada Okonkwo", "orders": ["100001"]}}
ORDERS = {"100001": {"status": "sent", "arrives": "2026-12-02"}, "100002": {"status": "waiting for payment"}}
MOST_BYTES = 16_384


def is_day(text: object) -> bool:
    """Tell whether this is a day that there is: nobody comes on the 31st of February."""
    if not isinstance(text, str) or not DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


class Calendar:
    """Appointments; two callers who want the same time at once don't both get it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._booked: dict[str, dict[str, str]] = {}

    def free(self, day: str) -> list[str]:
        """Return the free times of a day."""
        with self._lock:
            return self._free(day)

    def book(self, day: str, time: str, name: str) -> tuple[HTTPStatus, dict[str, object]]:
        """Book a time."""
        with self._lock:
            if time not in self._free(day):
                return HTTPStatus.CONFLICT, {"error": "this time is taken", "free": self._free(day)}
            number = f"p-{next(self._numbers)}"
            self._booked[number] = {"day": day, "time": time, "name": name}
            return HTTPStatus.CREATED, {"id": number, **self._booked[number]}

    def move(self, number: str, day: str, time: str) -> tuple[HTTPStatus, dict[str, object]]:
        """Move an appointment."""
        with self._lock:
            if number not in self._booked:
                return HTTPStatus.NOT_FOUND, {"error": "there is no such appointment"}
            at = self._booked[number]
            if (at["day"], at["time"]) != (day, time) and time not in self._free(day):
                return HTTPStatus.CONFLICT, {"error": "this time is taken", "free": self._free(day), "stays": at}
            self._booked[number] = {**at, "day": day, "time": time}
            return HTTPStatus.OK, {"id": number, **self._booked[number]}

    def cancel(self, number: str) -> tuple[HTTPStatus, dict[str, object]]:
        """Cancel an appointment."""
        with self._lock:
            if self._booked.pop(number, None) is None:
                return HTTPStatus.NOT_FOUND, {"error": "there is no such appointment"}
            return HTTPStatus.OK, {"id": number, "cancelled": True}

    def _free(self, day: str) -> list[str]:
        taken = {each["time"] for each in self._booked.values() if each["day"] == day}
        return [time for time in TIMES if time not in taken]


CALENDAR = Calendar()


class Backend(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        """Look something up."""
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        match url.path.strip("/").split("/"):
            case ["accounts"]:
                self._found(ACCOUNTS.get(query.get("number", "")), "account")
            case ["orders", number]:
                self._found(ORDERS.get(number), "order")
            case ["appointments"] if is_day(query.get("day")):
                self._answer(HTTPStatus.OK, {"day": query["day"], "free": CALENDAR.free(query["day"])})
            case ["appointments"]:
                self._answer(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": "day must be a date such as 2026-12-01"})
            case _:
                self._found(None, "page")

    def do_POST(self) -> None:
        """Book."""
        body = self._read()
        if body is None:
            return
        if self.path != "/appointments":
            self._found(None, "page")
        else:
            self._answer(*CALENDAR.book(body["day"], body["time"], body.get("name", "")))

    def do_PATCH(self) -> None:
        """Move."""
        body = self._read()
        if body is not None:
            self._answer(*CALENDAR.move(self._number(), body["day"], body["time"]))

    def do_DELETE(self) -> None:
        """Cancel."""
        self._answer(*CALENDAR.cancel(self._number()))

    def parse_request(self) -> bool:
        """Let nobody in without the token."""
        if not super().parse_request():
            return False
        token = os.environ.get("TOKEN", "")
        said = self.headers.get("Authorization", "").encode()
        if token and not hmac.compare_digest(said, f"Bearer {token}".encode()):
            self.close_connection = True
            self._answer(HTTPStatus.UNAUTHORIZED, {"error": "who are you?"})
            return False
        return True

    def log_message(self, *_: object) -> None:
        """Log nothing: paths hold numbers of people."""

    def _number(self) -> str:
        """Return which appointment is meant; of another page, none."""
        return self.path.removeprefix("/appointments/")

    def _read(self) -> dict[str, str] | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self.close_connection = True
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": "too long"})
            return None
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict) or not is_day(body.get("day")) or body.get("time") not in TIMES:
            error = {"error": "day must be a date such as 2026-12-01, and time one of those that are offered"}
            self._answer(HTTPStatus.UNPROCESSABLE_ENTITY, error)
            return None
        return body

    def _found(self, what: object, kind: str) -> None:
        if what is None:
            self._answer(HTTPStatus.NOT_FOUND, {"error": f"there is no such {kind}"})
        else:
            self._answer(HTTPStatus.OK, what)

    def _answer(self, status: HTTPStatus, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("", int(sys.argv[1]) if len(sys.argv) > 1 else 8000), Backend)
    print(f"listening on {server.server_port}", flush=True)  # noqa: T201 - for whoever started it
    server.serve_forever()
