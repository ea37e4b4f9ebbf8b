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

from voicefleet.api.voiceagent.voice import LanguageModel, ModelChoice, Realtime, SpeechToText, TextToSpeech
from voicefleet.conversation.dialogue import DialogueProblem
from voicefleet.providers.lineup import Lineup, OptionValue, ProviderPlan
from voicefleet.providers.routing import why_never
from voicefleet_worker.preloading import EXTRAS, PLUGIN_MODULES

Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ingredients:
    """One provider's plan beside its key and the agent's own wishes, which win over the pool's options."""

    plan: ProviderPlan
    choice: ModelChoice
    api_key: str | None

    @property
    def hearing(self) -> SpeechToText:
        """What the agent wishes of who hears."""
        return cast("SpeechToText", self.choice)

    @property
    def thinking(self) -> LanguageModel:
        """What the agent wishes of who thinks."""
        return cast("LanguageModel", self.choice)

    @property
    def speaking(self) -> TextToSpeech:
        """What the agent wishes of who speaks."""
        return cast("TextToSpeech", self.choice)

    @property
    def conversing(self) -> Realtime:
        """What the agent wishes of who does it all."""
        return cast("Realtime", self.choice)

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
    FIXED_ADDRESS: Sequence[str]
    """Roles for which the vendor's own address is the only one."""

    def arguments(self, of: Ingredients) -> Arguments:
        """Return the arguments of the class for the plan's role."""


def given(wishes: Mapping[str, OptionValue | Sequence[str] | None]) -> Arguments:
    """Leave out what nobody asked for."""
    return {name: value for name, value in wishes.items() if value is not None and value != []}


def primary_language(language: str) -> str:
    """Return the language without region, for providers that know no regions."""
    return language.partition("-")[0].lower()


def without_strangers(lineup: Lineup) -> Lineup | DialogueProblem:
    """Leave out those of a line-up whose plugin this image has not, unless nobody is left who can do the job."""
    plans = tuple(plan for plan in lineup.plans if _is_here(plan))
    able = [plan.name for plan in plans if why_never(plan.provider, lineup.need) is None]
    if not able:
        return _stranger(lineup.first)
    first = lineup.first_name if lineup.first_name in able else able[0]
    return replace(lineup, plans=plans, first_name=first)


def check_options(plan: ProviderPlan) -> DialogueProblem | None:
    """Say which option of a provider its plugin does not know, before a call finds out."""
    known = inspect.signature(_plugin(plan).CLASSES[plan.role].__init__).parameters.keys() - {"self"}
    for name, _ in plan.options:
        if name not in known:
            message = f"{name} is no option of {plan.plugin} for role {plan.role}"
            return DialogueProblem("pool", _field(plan, f"options.{name}"), message)
    if plan.base_url is not None and plan.role in _plugin(plan).FIXED_ADDRESS:
        message = f"{plan.plugin} has no other address for role {plan.role}: leave baseUrl out"
        return DialogueProblem("pool", _field(plan, "baseUrl"), message)
    return None


def _is_here(plan: ProviderPlan) -> bool:
    plugin = _find(plan.plugin)
    return plugin is not None and plan.role in plugin.CLASSES


def _stranger(plan: ProviderPlan) -> DialogueProblem:
    """Say what this image lacks, and how it comes by it."""
    found = {name: plugin for name in PLUGIN_MODULES if (plugin := _find(name)) is not None}
    has = ", ".join(name for name, plugin in found.items() if plan.role in plugin.CLASSES) or "none"
    message = f"plugin {plan.plugin} is not in this image for role {plan.role}; it has {has}"
    if plan.plugin in EXTRAS and plan.plugin not in found:
        message += f"; install voicefleet[{plan.plugin}], or build the image with EXTRAS=all-providers"
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


def build_realtime(of: Ingredients) -> llm.RealtimeModel:
    """Build who does it all."""
    return cast("llm.RealtimeModel", _build(of))


def _build(of: Ingredients) -> object:
    plugin = _plugin(of.plan)
    return plugin.CLASSES[of.plan.role](**plugin.arguments(of))


def _plugin(plan: ProviderPlan) -> Plugin:
    return _load(plan.plugin)


def _load(name: str) -> Plugin:
    return cast("Plugin", importlib.import_module(PLUGIN_MODULES[name]))


def _find(name: str) -> Plugin | None:
    """Return a plugin, or None where its package is not installed."""
    if name not in PLUGIN_MODULES:
        return None
    try:
        return _load(name)
    except ModuleNotFoundError:
        return None


def _field(plan: ProviderPlan, field: str) -> str:
    return f"spec.providers[{plan.name}].{field}"
