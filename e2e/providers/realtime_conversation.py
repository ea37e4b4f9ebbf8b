"""The items of a realtime conversation, kept the way the server keeps them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from e2e.providers.espeak import Word
from e2e.providers.persona import Turn
from e2e.providers.wire import Json, new_id

ROOT = "root"


class RejectedError(ValueError):
    """A client event that cannot be followed; `code` is the provider's word for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Conversation:
    """Ordered items, and when each word of the spoken ones sounds."""

    items: list[Json] = field(default_factory=list)
    _words: dict[str, Sequence[Word]] = field(default_factory=dict)

    @property
    def last_id(self) -> str | None:
        return self.items[-1]["id"] if self.items else None

    def add(self, item: Json, *, after: str | None = None) -> str | None:
        """Insert an item and return the id of the one before it; without `after` it goes last."""
        item.setdefault("id", new_id("item_"))
        item.setdefault("object", "realtime.item")
        item.setdefault("status", "completed")
        if self.has(item["id"]):
            raise RejectedError("item_create_duplicate_item_id", f"Item {item['id']} already exists.")
        place = len(self.items)
        if after == ROOT:
            place = 0
        elif after is not None:
            place = self._index(after, "item_create_invalid_previous_item_id") + 1
        self.items.insert(place, item)
        return str(self.items[place - 1]["id"]) if place else None

    def remove(self, item_id: str) -> None:
        """Delete an item."""
        del self.items[self._index(item_id, "item_delete_invalid_item_id")]
        self._words.pop(item_id, None)

    def remember_words(self, item_id: str, words: Sequence[Word]) -> None:
        """Keep when the words of a spoken item sound, for a truncation to come."""
        self._words[item_id] = words

    def truncate(self, item_id: str, *, audio_end_ms: int) -> None:
        """Forget the words of an item that were not heard."""
        item = self.items[self._index(item_id, "item_truncate_invalid_item_id")]
        heard = [word.text for word in self._words.get(item_id, ()) if word.start_seconds * 1000 < audio_end_ms]
        for part in item["content"]:
            part["transcript"] = " ".join(heard)

    def has(self, item_id: str) -> bool:
        """Say whether there is such an item."""
        return any(item["id"] == item_id for item in self.items)

    def find(self, item_id: str) -> Json:
        """Return an item."""
        return self.items[self._index(item_id, "item_retrieve_invalid_item_id")]

    def turns(self) -> list[Turn]:
        """Return what was said, as the language model sees it."""
        names = {item["call_id"]: item["name"] for item in self.items if item["type"] == "function_call"}
        turns = []
        for item in self.items:
            match item["type"]:
                case "function_call_output":
                    turns.append(Turn("tool", str(item["output"]), names.get(item["call_id"], "")))
                case "function_call":
                    turns.append(Turn("assistant", ""))
                case _:
                    role = item["role"]
                    text = " ".join(part.get("text") or part.get("transcript") or "" for part in item["content"])
                    turns.append(Turn(role if role in ("user", "assistant") else "instructions", text))
        return turns

    def _index(self, item_id: str, code: str) -> int:
        for index, item in enumerate(self.items):
            if item["id"] == item_id:
                return index
        raise RejectedError(code, f"Item {item_id} does not exist.")
