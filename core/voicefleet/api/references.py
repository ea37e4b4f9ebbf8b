"""Pointing at things: other resources, and keys that live in Secrets and nowhere else.

A key pasted where a name belongs is refused without being repeated: the message names the field, not the value.
"""

import re
from typing import Annotated, ClassVar

from pydantic import StringConstraints

from voicefleet.api.base import ApiModel, Rule
from voicefleet.api.cel import quoted
from voicefleet.api.types import DNS_SUBDOMAIN, Label, ObjectName

# What keys of the field look like: vendors' prefixes, bearer headers, JSON web tokens.
SECRET_SHAPE = (
    r"^(sk-|sk_|rk_live_|pk_live_|xox[abps]-|gh[pousr]_|glpat-|AKIA[0-9A-Z]|AIza[0-9A-Za-z_-]|eyJ[0-9A-Za-z_-]|"
    r"[Bb]earer |[Tt]oken |[Bb]asic )"
)
SECRET_KEY_NAME = r"^[-._a-zA-Z0-9]+$"
PASTED = "this looks like a secret value: put it into a Secret and write the Secret's name and key here"

_secret_shape = re.compile(SECRET_SHAPE, re.ASCII)
_subdomain = re.compile(DNS_SUBDOMAIN, re.ASCII)
_key_name = re.compile(SECRET_KEY_NAME, re.ASCII)


def looks_like_a_secret(value: str) -> bool:
    """Tell a pasted key from a name, by the shapes that keys of the field have."""
    return _secret_shape.search(value) is not None


def no_secret_values(name: str) -> Rule:
    """Refuse keys among the values of a plain map; they belong into a Secret."""
    return Rule(
        cel=f"!has(self.{name}) || self.{name}.all(k, !self.{name}[k].matches({quoted(SECRET_SHAPE)}))",
        check=lambda model: not any(map(looks_like_a_secret, (getattr(model, name) or {}).values())),
        message=f"a value in {name} looks like a secret: put it into a Secret and refer to it",
        reason="FieldValueForbidden",
    )


class SecretKeyRef(ApiModel):
    """One key of one Secret in the same namespace."""

    RULES: ClassVar = (
        Rule(
            cel=f"!self.name.matches({quoted(SECRET_SHAPE)}) && !self.key.matches({quoted(SECRET_SHAPE)})",
            check=lambda ref: not looks_like_a_secret(ref.name) and not looks_like_a_secret(ref.key),
            message=PASTED,
            reason="FieldValueForbidden",
        ),
        Rule(
            cel=f"self.name.matches({quoted(DNS_SUBDOMAIN)})",
            check=lambda ref: _subdomain.fullmatch(ref.name) is not None,
            message="name must be the name of a Secret: lower-case letters, digits, '-' and '.'",
            reason="FieldValueForbidden",
        ),
        Rule(
            cel=f"self.key.matches({quoted(SECRET_KEY_NAME)})",
            check=lambda ref: _key_name.fullmatch(ref.key) is not None,
            message="key must be a key of the Secret: letters, digits, '-', '_' and '.'",
            reason="FieldValueForbidden",
        ),
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """Name of the Secret, never the secret value itself."""
    key: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """Key inside the Secret whose value is used."""


class ConfigMapKeyRef(ApiModel):
    """One key of one ConfigMap in the same namespace."""

    name: ObjectName
    """Name of the ConfigMap."""
    key: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=SECRET_KEY_NAME)]
    """Key inside the ConfigMap whose value is used."""


class LocalRef(ApiModel):
    """Another object of the same namespace."""

    name: ObjectName
    """Name of the object."""


class PoolRef(ApiModel):
    """The ProviderPool that an agent draws on."""

    name: Label
    """Name of the ProviderPool."""
    namespace: Label | None = None
    """Namespace of the pool if it is another one; the pool must allow it."""
