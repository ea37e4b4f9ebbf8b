"""How long a word waits for a decision, on a clock that only the test moves."""

from prometheus_client import CollectorRegistry, Histogram

from voicefleet_operator.apiserver.kube import _plural_in
from voicefleet_operator.metrics import DecisionDelays, Metrics
from voicefleet_operator.turns.workqueue import Key

A, B = Key("VoiceAgent", "voice", "a"), Key("VoiceAgent", "voice", "b")


class Delays(DecisionDelays):
    def __init__(self) -> None:
        self.seconds = 100.0
        self.registry = CollectorRegistry()
        super().__init__(Histogram("delay", "Delay.", registry=self.registry), clock=lambda: self.seconds)

    @property
    def found(self) -> tuple[float, float]:
        """The number of words and the time that they waited together."""
        count, total = (self.registry.get_sample_value(f"delay_{part}") for part in ("count", "sum"))
        return (count or 0.0, round(total or 0.0, 6))


def test_a_word_waits_until_the_turn_that_knows_of_it_has_decided() -> None:
    delays = Delays()
    delays.changed(A)
    delays.seconds += 0.2
    delays.seen(A)
    delays.seconds += 0.1
    delays.decided(A)

    assert delays.found == (1, 0.3)


def test_a_word_during_a_turn_waits_for_the_next_one() -> None:
    delays = Delays()
    delays.seen(A)
    delays.changed(A)
    delays.seconds += 1
    delays.decided(A)
    assert delays.found == (0, 0)

    delays.seen(A)
    delays.seconds += 1
    delays.decided(A)
    assert delays.found == (1, 2)


def test_a_turn_that_failed_leaves_its_words_to_the_next_one() -> None:
    delays = Delays()
    delays.changed(A)
    delays.seen(A)
    delays.seconds += 1
    delays.changed(A)
    delays.seen(A)
    delays.decided(A)

    assert delays.found == (2, 1)


def test_a_decision_about_one_agent_is_none_about_another() -> None:
    delays = Delays()
    delays.changed(A)
    delays.seen(A)
    delays.decided(B)

    assert delays.found == (0, 0)


def test_what_was_decided_is_counted_once() -> None:
    delays = Delays()
    delays.changed(A)
    delays.seen(A)
    delays.decided(A)
    delays.decided(A)

    assert delays.found[0] == 1


def test_processor_time_and_memory_are_told() -> None:
    registry = Metrics().registry

    assert (registry.get_sample_value("process_cpu_seconds_total") or 0) > 0
    assert (registry.get_sample_value("process_resident_memory_bytes") or 0) > 0


def test_requests_are_counted_by_kind_of_object_and_never_by_name() -> None:
    paths = {
        "/api/v1/pods": "pods",
        "/api/v1/namespaces/voice/pods": "pods",
        "/api/v1/namespaces/voice/pods/desk-0": "pods",
        "/api/v1/namespaces/voice/pods/desk-0/resize": "pods",
        "/api/v1/namespaces/voice": "namespaces",
        "/apis/voicefleet.dev/v1alpha1/namespaces/voice/voiceagents/desk/status": "voiceagents",
        "/apis/voicefleet.dev/v1alpha1/providerpools": "providerpools",
        "/apis/coordination.k8s.io/v1/namespaces/voice/leases/voicefleet-operator": "leases",
    }

    assert {path: _plural_in(path) for path in paths} == paths
