"""What an agent says by itself when its spec leaves the words to us, in its language; and the words it waits for."""

import re
from collections.abc import Iterable, Mapping, Sequence

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
_STILL_THERE = {
    "de": "Sind Sie noch da?",
    "en": "Are you still there?",
    "es": "¿Sigue ahí?",
    "fr": "Êtes-vous toujours là ?",
    "it": "È ancora in linea?",
    "nl": "Bent u er nog?",
    "pl": "Czy nadal mnie słychać?",
    "pt": "Ainda está aí?",
}
_NOBODY_THERE = {
    "de": "Ich höre Sie leider nicht mehr und beende das Gespräch. Auf Wiederhören.",
    "en": "I can't hear you any more, so I will end the call now. Goodbye.",
    "es": "Ya no le oigo, así que voy a terminar la llamada. Adiós.",
    "fr": "Je ne vous entends plus, je vais donc mettre fin à l'appel. Au revoir.",
    "it": "Non la sento più, quindi chiudo la chiamata. Arrivederci.",
    "nl": "Ik hoor u niet meer en beëindig daarom het gesprek. Tot ziens.",
    "pl": "Nie słyszę już nikogo, więc kończę rozmowę. Do widzenia.",
    "pt": "Já não o ouço, por isso vou terminar a chamada. Adeus.",
}
_ONE_MOMENT = {
    "de": "Einen Moment bitte.",
    "en": "One moment, please.",
    "es": "Un momento, por favor.",
    "fr": "Un instant, s'il vous plaît.",
    "it": "Un momento, per favore.",
    "nl": "Een ogenblik alstublieft.",
    "pl": "Chwileczkę, proszę.",
    "pt": "Um momento, por favor.",
}
_MUST_GO = {
    "de": "Es tut mir leid, diese Leitung wird jetzt geschlossen. Bitte rufen Sie gleich noch einmal an.",
    "en": "I'm sorry, this line has to close now. Please call again in a moment.",
    "es": "Lo siento, esta línea se cierra ahora. Por favor, vuelva a llamar enseguida.",
    "fr": "Je suis désolé, cette ligne doit être fermée maintenant. Merci de rappeler dans un instant.",
    "it": "Mi dispiace, questa linea deve chiudere ora. Richiami tra un momento, per favore.",
    "nl": "Het spijt me, deze lijn wordt nu gesloten. Belt u straks alstublieft opnieuw.",
    "pl": "Przykro mi, ta linia musi zostać teraz zamknięta. Proszę zadzwonić ponownie za chwilę.",
    "pt": "Lamento, esta linha tem de fechar agora. Por favor, volte a ligar daqui a pouco.",
}
_SAY_AGAIN = {
    "de": "Entschuldigung, das hat gerade nicht geklappt. Können Sie das bitte noch einmal sagen?",
    "en": "I'm sorry, that did not work just now. Could you say it again, please?",
    "es": "Lo siento, algo ha fallado. ¿Puede repetirlo, por favor?",
    "fr": "Excusez-moi, quelque chose n'a pas fonctionné. Pouvez-vous répéter, s'il vous plaît ?",
    "it": "Mi scusi, qualcosa non ha funzionato. Può ripetere, per favore?",
    "nl": "Sorry, er ging even iets mis. Kunt u dat nog eens zeggen?",
    "pl": "Przepraszam, coś się nie udało. Proszę powtórzyć.",
    "pt": "Peço desculpa, algo falhou. Pode repetir, por favor?",
}
_CANNOT_GO_ON = {
    "de": "Es tut mir leid, wir haben eine technische Störung. Bitte rufen Sie später noch einmal an. Auf Wiederhören.",
    "en": "I'm sorry, we have a technical problem. Please call again later. Goodbye.",
    "es": "Lo siento, tenemos un problema técnico. Por favor, llame más tarde. Adiós.",
    "fr": "Je suis désolé, nous avons un problème technique. Veuillez rappeler plus tard. Au revoir.",
    "it": "Mi dispiace, abbiamo un problema tecnico. La preghiamo di richiamare più tardi. Arrivederci.",
    "nl": "Het spijt me, we hebben een technische storing. Belt u later nog eens. Tot ziens.",
    "pl": "Przepraszam, mamy problem techniczny. Proszę zadzwonić później. Do widzenia.",
    "pt": "Lamento, temos um problema técnico. Por favor, ligue mais tarde. Adeus.",
}
_GOODBYE = {
    "de": "Auf Wiederhören.",
    "en": "Goodbye.",
    "es": "Adiós.",
    "fr": "Au revoir.",
    "it": "Arrivederci.",
    "nl": "Tot ziens.",
    "pl": "Do widzenia.",
    "pt": "Adeus.",
}
_PUT_THROUGH = {
    "de": "Ich verbinde Sie. Bitte bleiben Sie am Apparat.",
    "en": "I will put you through. Please hold the line.",
    "es": "Le paso la llamada. No cuelgue, por favor.",
    "fr": "Je vous passe la ligne. Ne quittez pas.",
    "it": "Le passo la linea. Resti in attesa, per favore.",
    "nl": "Ik verbind u door. Blijft u aan de lijn.",
    "pl": "Łączę rozmowę. Proszę się nie rozłączać.",
    "pt": "Vou passar a chamada. Não desligue, por favor.",
}


def disclosure(language: str) -> str:
    """Return the sentence that says that a machine speaks."""
    return _in(language, _DISCLOSURE)


def call_back(language: str, prompts: Sequence[str], number: int) -> str:
    """Return what is said to a caller who has fallen silent, for the first time (0) or once more."""
    return prompts[min(number, len(prompts) - 1)] if prompts else _in(language, _STILL_THERE)


def nobody_there(language: str) -> str:
    """Return the goodbye to a caller who does not answer."""
    return _in(language, _NOBODY_THERE)


def must_go(language: str) -> str:
    """Return the goodbye to a caller whose worker has to go."""
    return _in(language, _MUST_GO)


def one_moment(language: str) -> str:
    """Return what is said while something takes its time."""
    return _in(language, _ONE_MOMENT)


def say_again(language: str) -> str:
    """Return what is said to a caller whom nobody could answer."""
    return _in(language, _SAY_AGAIN)


def cannot_go_on(language: str) -> str:
    """Return the goodbye of a call that cannot go on."""
    return _in(language, _CANNOT_GO_ON)


def goodbye(language: str) -> str:
    """Return a goodbye that nobody has to think of."""
    return _in(language, _GOODBYE)


def put_through(language: str) -> str:
    """Return what is said before a caller is put through to a person."""
    return _in(language, _PUT_THROUGH)


def says_one_of(text: str, phrases: Iterable[str]) -> bool:
    """Tell whether somebody says one of these phrases, however it is spelt and whatever stands around it."""
    said = f" {' '.join(_words(text))} "
    return any(f" {' '.join(words)} " in said for phrase in phrases if (words := _words(phrase)))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _in(language: str, texts: Mapping[str, str]) -> str:
    """Return a text in a language, or in English where we know no better."""
    return texts.get(language.partition("-")[0].lower(), texts["en"])
