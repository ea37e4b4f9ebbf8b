"""Secrets as files, read when they are needed: a rotated key reaches the next call without a restart.

Values leave this module only as return values; they are in no message and no repr. What workers tell each other of a
key is its fingerprint.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from voicefleet.api.references import SecretKeyRef
from voicefleet.conversation.dialogue import DialoguePlan
from voicefleet.names import secret_file
from voicefleet.providers.lineup import Lineup, ProviderPlan
from voicefleet_worker.problems import BadInputError


@dataclass(frozen=True, slots=True)
class SecretFiles:
    """The directory in which each Secret is a folder and each key a file."""

    directory: Path

    def read(self, ref: SecretKeyRef) -> str:
        """Return one key's value, without the newline that editors put at the end."""
        return read_secret(self.directory / secret_file(ref.name, ref.key))

    def fingerprint(self, ref: SecretKeyRef | None) -> int:
        """Return by what a key can be told from another one; 0 where there is none that can be read."""
        try:
            return fingerprint(self.read(ref)) if ref is not None else 0
        except BadInputError:
            return 0


@dataclass(frozen=True)
class SecretsAtHand(SecretFiles):
    """Secrets of somebody who sits at a terminal: environment variables, and files where a folder was named."""

    environment: Mapping[str, str] = field(repr=False)
    has_files: bool

    def read(self, ref: SecretKeyRef) -> str:
        """Return one key's value."""
        name = variable_of(ref)
        value = self.environment.get(name, "").strip()
        if value:
            return value
        if self.has_files:
            return super().read(ref)
        advice = f"set {name}, or give --secrets DIR with a file {secret_file(ref.name, ref.key)}"
        raise BadInputError(f"Secret {ref.name}", f"key {ref.key} is not known: {advice}")


def variable_of(ref: SecretKeyRef) -> str:
    """Return the environment variable that stands for a key of a Secret."""
    return "".join(each if each.isalnum() else "_" for each in f"{ref.name}_{ref.key}").upper()


def read_secret(path: Path) -> str:
    """Return what a secret file holds, or say what is wrong with it."""
    try:
        value = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadInputError(str(path), f"secret cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInputError(str(path), "secret is not UTF-8 text") from None
    if not value:
        raise BadInputError(str(path), "secret is empty")
    return value


def fingerprint(value: str) -> int:
    """Return a number of 48 bits, which any store keeps exactly and from which nobody finds the value."""
    return int.from_bytes(hashlib.blake2b(value.encode(), digest_size=6, person=b"voicefleet").digest(), "big")


def check_keys(plan: DialoguePlan, secrets: SecretFiles) -> None:
    """Refuse what would be silence: of each line-up there must be one whose key can be read."""
    for lineup in (lineup for agent in plan.agents for lineup in agent.voice.lineups):
        check_keys_of(lineup, secrets)


def check_keys_of(lineup: Lineup, secrets: SecretFiles) -> None:
    """Refuse a line-up in which nobody's key can be read."""
    problems = [problem for each in lineup.plans if (problem := _key_problem(each, secrets)) is not None]
    if len(problems) == len(lineup.plans):
        raise problems[0]


def _key_problem(plan: ProviderPlan, secrets: SecretFiles) -> BadInputError | None:
    try:
        if plan.api_key is not None:
            secrets.read(plan.api_key)
    except BadInputError as error:
        return error
    return None
