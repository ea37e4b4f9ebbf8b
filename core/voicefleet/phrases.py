"""What an agent says by itself when its spec leaves the words to us, in the agent's language."""

_DISCLOSURE = {
    "de": "Sie sprechen mit einem KI-Assistenten.",
    "en": "You are speaking with an AI assistant.",
    "es": "Está hablando con un asistente de inteligencia artificial.",
    "fr": "Vous parlez avec un assistant d'intelligence artificielle.",
    "it": "Sta parlando con un assistente di intelligenza artificiale.",
    "nl": "U spreekt met een AI-assistent.",
    "pl": "Rozmawia Pan lub Pani z asystentem sztucznej inteligencji.",
    "pt": "Está a falar com um assistente de inteligência artificial.",
}


def disclosure(language: str) -> str:
    """Return the sentence that says that a machine speaks; in English where we know no better."""
    return _DISCLOSURE.get(language.partition("-")[0].lower(), _DISCLOSURE["en"])
