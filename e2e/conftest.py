"""One bench for the whole run, a namespace for each test, and everything worth seeing when a test fails."""

import os
import re
import secrets
import subprocess
from collections.abc import AsyncIterator, Generator, Iterator

import pytest

from e2e.bench import Bench, BenchError, BenchOptions
from e2e.bench.diagnosis import describe_namespace, describe_parts
from e2e.bench.needs import list_absent
from e2e.bench.waiting import wait_for
from e2e.caller import Line
from e2e.kinds import install_crds
from e2e.providers import Control, Providers, start_providers
from e2e.providers.wire import HearingMode

_NAMESPACE = pytest.StashKey[tuple[Bench, str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what they use, so that `-m "not node"` needs nobody's memory."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "real_node_bench" in fixtures:
            item.add_marker(pytest.mark.node)
        if "real_node_bench" in fixtures or "bench" in fixtures:
            item.add_marker(pytest.mark.bench)


@pytest.fixture(scope="session")
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A control plane with one simulated node, LiveKit and Redis; every test shares it."""
    yield from _session_bench(BenchOptions(), request)


@pytest.fixture(scope="session")
def crds(bench: Bench) -> None:
    """The three kinds, established on the shared bench."""
    install_crds(bench)


@pytest.fixture(scope="session")
def real_node_bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The same with a real node beside the simulated one: `nodeSelector: {voicefleet.dev/node: real}`."""
    if os.geteuid() != 0:
        pytest.skip("a real node needs root")
    yield from _session_bench(BenchOptions(node=True), request)


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, in the bench that it uses; deleted without waiting."""
    which = "real_node_bench" if "real_node_bench" in request.fixturenames else "bench"
    bench: Bench = request.getfixturevalue(which)
    slug = re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    name = f"{slug}-{secrets.token_hex(3)}"
    bench.kubectl("create", "namespace", name)
    # Pods are refused until a controller has made it.
    account = ("get", "serviceaccount", "default", "-n", name)
    wait_for(lambda: bench.kubectl(*account, check=False).returncode == 0, f"a ServiceAccount in {name}")
    request.node.stash[_NAMESPACE] = (bench, name)
    yield name
    bench.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found", check=False)


@pytest.fixture
def line(bench: Bench) -> Line:
    """The way callers come to the bench's LiveKit."""
    return Line(bench.livekit.ws_url, bench.livekit.api_key, bench.livekit.api_secret)


@pytest.fixture(scope="module")
def hearing() -> HearingMode:
    """How the stand-ins hear; a module that needs no ears says so."""
    return "hear"


@pytest.fixture(scope="module")
def providers(hearing: HearingMode) -> Iterator[Providers]:
    """Stand-ins for speech and language providers, shared by a module's tests."""
    with start_providers(hearing=hearing) as running:
        yield running


@pytest.fixture
def control(providers: Providers) -> Iterator[Control]:
    """The stand-ins' control API, with every fault and script of other tests forgotten."""
    control = Control(providers.control_url)
    control.reset()
    yield control
    control.reset()


@pytest.fixture
async def http_session() -> AsyncIterator[None]:
    """What the stock plugins want round them outside of a job."""
    from livekit.agents.utils import http_context  # noqa: PLC0415 - seconds that most tests need not spend

    async with http_context.open():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the namespace's objects, events and logs to a failed test."""
    report = yield
    if report.failed and report.when != "teardown" and _NAMESPACE in item.stash:
        bench, name = item.stash[_NAMESPACE]
        try:
            report.sections.extend(describe_namespace(bench, name))
            report.sections.extend(describe_parts(bench))
        except (BenchError, OSError, subprocess.SubprocessError) as error:
            report.sections.append(("no diagnosis", str(error)))
    return report


def _session_bench(options: BenchOptions, request: pytest.FixtureRequest) -> Iterator[Bench]:
    absent = list_absent(options)
    if absent:
        pytest.fail(f"missing: {', '.join(absent)}; run `python -m e2e.bench build` first", pytrace=False)
    try:
        bench = Bench.start(options)
    except BenchError as error:
        pytest.fail(str(error), pytrace=False)
    yield bench
    bench.down(keep_logs=request.session.testsfailed > 0)
