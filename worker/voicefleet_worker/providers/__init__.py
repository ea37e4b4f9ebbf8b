"""Plugins as this image has them: which class does which job, and what it is built from.

A plugin is imported when a plan asks for it, not before: each costs memory and start-up time.
"""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from livekit.agents import llm, stt, tts

from voicefleet.dialogue import DialoguePlan, DialogueProblem, OptionValue, ProviderPlan

Arguments = dict[str, Any]
_MODULES = {
    "cartesia": "voicefleet_worker.providers.cartesia",
    "deepgram": "voicefleet_worker.providers.deepgram",
    "openai": "voicefleet_worker.providers.openai",
}


@dataclass(frozen=True, slots=True)
class Ingredients:
    """One provider's plan beside its key and the agent's own wishes, which win over the pool's options."""

    plan: ProviderPlan
    agent: DialoguePlan
    api_key: str | None

    def common(self, *, key_needed: bool = False) -> Arguments:
        """Return what all plugins take under the same names; what nobody asked for stays the plugin's default."""
        wishes = {"model": self.plan.model, "base_url": self.plan.base_url, "api_key": self.api_key}
        if key_needed:
            # The client of a server that wants no key insists on one all the same.
            wishes["api_key"] = self.api_key or "none"
        return {**dict(self.plan.options), **given(wishes)}


class Plugin(Protocol):
    """What a module of this package offers: classes by role, and how they are built."""

    CLASSES: Mapping[str, type[Any]]

    def arguments(self, of: Ingredients) -> Arguments:
        """Return the arguments of the class for the plan's role."""


def given(wishes: Mapping[str, OptionValue | Sequence[str] | None]) -> Arguments:
    """Leave out what nobody asked for."""
    return {name: value for name, value in wishes.items() if value is not None and value != []}


def primary_language(language: str) -> str:
    """Return the language without region, for providers that know no regions."""
    return language.partition("-")[0].lower()


def module_names(plan: DialoguePlan) -> list[str]:
    """Return the modules that a call of this plan needs, to be loaded once for all calls."""
    return sorted({_MODULES[provider.plugin] for provider in plan.providers if provider.plugin in _MODULES})


def check_provider(plan: ProviderPlan) -> DialogueProblem | None:
    """Say why this image cannot build the provider, before a call finds out."""
    if plan.plugin not in _MODULES or plan.role not in _plugin(plan).CLASSES:
        has = sorted(name for name in _MODULES if plan.role in _load(name).CLASSES)
        message = f"plugin {plan.plugin} is not in this image for role {plan.role}; it has {', '.join(has)}"
        return DialogueProblem("pool", _field(plan, "plugin"), message)
    known = inspect.signature(_plugin(plan).CLASSES[plan.role].__init__).parameters.keys() - {"self"}
    for name, _ in plan.options:
        if name not in known:
            message = f"{name} is no option of {plan.plugin} for role {plan.role}"
            return DialogueProblem("pool", _field(plan, f"options.{name}"), message)
    return None


def build_stt(of: Ingredients) -> stt.STT[Any]:
    """Build who hears."""
    return cast("stt.STT[Any]", _build(of))


def build_llm(of: Ingredients) -> llm.LLM[Any]:
    """Build who thinks."""
    return cast("llm.LLM[Any]", _build(of))


def build_tts(of: Ingredients) -> tts.TTS[Any]:
    """Build who speaks."""
    return cast("tts.TTS[Any]", _build(of))


def _build(of: Ingredients) -> object:
    plugin = _plugin(of.plan)
    return plugin.CLASSES[of.plan.role](**plugin.arguments(of))


def _plugin(plan: ProviderPlan) -> Plugin:
    return _load(plan.plugin)


def _load(name: str) -> Plugin:
    return cast("Plugin", importlib.import_module(_MODULES[name]))


def _field(plan: ProviderPlan, field: str) -> str:
    return f"spec.providers[{plan.name}].{field}"
