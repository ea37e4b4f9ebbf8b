"""What the server says about the manifests of tests/wrong; `tests/core/test_wrong_manifests.py` has the offline half.

Each file's `# server:` line holds a part of the answer, `not sent` if kubectl itself cannot read the file, or
`accepts it` where we are stricter than the server on purpose, with a line that says why.
"""

import pytest

from e2e.bench import Bench
from tests.support.manifests import Wrong, read_wrong

pytestmark = pytest.mark.usefixtures("crds")

_SECRET = "THISISTHESECRET"


@pytest.mark.parametrize("wrong", read_wrong(), ids=lambda wrong: wrong.name)
def test_the_server_refuses_it_with_the_words_that_the_file_promises(wrong: Wrong, bench: Bench) -> None:
    command = ("create", "-n", "default", "--dry-run=server", "--validate=strict", "-f", str(wrong.path))
    done = bench.kubectl(*command, check=False)
    said = done.stdout + done.stderr
    text = wrong.path.read_text()
    match wrong.server:
        case "accepts it":
            assert done.returncode == 0, said
            assert "# why: " in text
        case "not sent":
            assert done.returncode != 0
            assert "error parsing" in said
        case words:
            assert done.returncode != 0
            assert words in said
    if _SECRET in text and "# why: the server repeats" not in text:
        assert _SECRET not in said
