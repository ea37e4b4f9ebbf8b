"""Plugins as this image has them: which class does which job, and what it is built from.

A plugin is imported when a plan asks for it, not before: each costs memory and start-up time.
"""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from livekit.agents import llm, stt, tts
from livekit.agents.vad import VAD

from voicefleet.dialogue import DialoguePlan, DialogueProblem, PipelinePlan
from voicefleet.providers.lineup import Lineup, OptionValue, ProviderPlan

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
    agent: PipelinePlan
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


def without_strangers(lineup: Lineup) -> Lineup | DialogueProblem:
    """Leave out those of a line-up whose plugin this image has not, unless nobody is left."""
    plans = tuple(plan for plan in lineup.plans if _is_here(plan))
    if not plans:
        return _stranger(lineup.first)
    first = lineup.first_name if _is_here(lineup.first) else plans[0].name
    return replace(lineup, plans=plans, first_name=first)


def check_options(plan: ProviderPlan) -> DialogueProblem | None:
    """Say which option of a provider its plugin does not know, before a call finds out."""
    known = inspect.signature(_plugin(plan).CLASSES[plan.role].__init__).parameters.keys() - {"self"}
    for name, _ in plan.options:
        if name not in known:
            message = f"{name} is no option of {plan.plugin} for role {plan.role}"
            return DialogueProblem("pool", _field(plan, f"options.{name}"), message)
    return None


def _is_here(plan: ProviderPlan) -> bool:
    return plan.plugin in _MODULES and plan.role in _plugin(plan).CLASSES


def _stranger(plan: ProviderPlan) -> DialogueProblem:
    has = sorted(name for name in _MODULES if plan.role in _load(name).CLASSES)
    message = f"plugin {plan.plugin} is not in this image for role {plan.role}; it has {', '.join(has)}"
    return DialogueProblem("pool", _field(plan, "plugin"), message)


def build_stt(of: Ingredients, vad: VAD) -> stt.STT[Any]:
    """Build who hears; one that takes only whole utterances is given them."""
    built = cast("stt.STT[Any]", _build(of))
    return built if built.capabilities.streaming else stt.StreamAdapter(stt=built, vad=vad)


def build_llm(of: Ingredients) -> llm.LLM[Any]:
    """Build who thinks."""
    return cast("llm.LLM[Any]", _build(of))


def build_tts(of: Ingredients) -> tts.TTS[Any]:
    """Build who speaks; one that takes only whole texts is given sentences."""
    built = cast("tts.TTS[Any]", _build(of))
    return built if built.capabilities.streaming else tts.StreamAdapter(tts=built)


def _build(of: Ingredients) -> object:
    plugin = _plugin(of.plan)
    return plugin.CLASSES[of.plan.role](**plugin.arguments(of))


def _plugin(plan: ProviderPlan) -> Plugin:
    return _load(plan.plugin)


def _load(name: str) -> Plugin:
    return cast("Plugin", importlib.import_module(_MODULES[name]))


def _field(plan: ProviderPlan, field: str) -> str:
    return f"spec.providers[{plan.name}].{field}"
