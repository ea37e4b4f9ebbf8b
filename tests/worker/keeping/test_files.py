"""Files on the way from a call to where they are kept."""

from pathlib import Path

import pytest

from voicefleet.api.voiceagent.worker import Worker
from voicefleet_worker.keeping.files import CallFiles
from voicefleet_worker.keeping.settings import load_keeping, make_directories
from voicefleet_worker.problems import BadInputError


@pytest.fixture
def files(tmp_path: Path) -> CallFiles:
    made = CallFiles(tmp_path / "files", limit_bytes=1000)
    made.make()
    return made


def write(path: Path, size: int = 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


def test_what_a_call_left_is_moved_when_it_runs_no_more(files: CallFiles) -> None:
    write(files.live / "desk/2026-03-01/AJ_1.ogg")
    write(files.live / "desk/2026-03-01/AJ_2.ogg")

    files.collect({"AJ_2"})

    assert files.waiting() == {"desk/2026-03-01/AJ_1.ogg": 10}
    assert (files.live / "desk/2026-03-01/AJ_2.ogg").exists()


def test_a_call_that_runs_keeps_all_of_its_files(files: CallFiles) -> None:
    write(files.live / "AJ_1.2.ogg")
    files.collect({"AJ_1"})

    assert files.waiting() == {}


def test_a_file_in_which_nothing_is_goes_nowhere(files: CallFiles) -> None:
    write(files.live / "desk/AJ_1.ogg", size=0)
    files.collect(())

    assert files.waiting() == {}
    assert list(files.live.iterdir()) == []


def test_folders_go_with_the_last_of_their_files(files: CallFiles) -> None:
    write(files.outbox / "desk/a/AJ_1.ogg")
    write(files.outbox / "desk/b/AJ_2.ogg")
    files.remove("desk/a/AJ_1.ogg")

    assert [path.name for path in (files.outbox / "desk").iterdir()] == ["b"]
    files.remove("desk/b/AJ_2.ogg")
    assert list(files.outbox.iterdir()) == []


def test_a_call_that_is_begun_anew_writes_over_nothing(files: CallFiles) -> None:
    assert files.new("desk/AJ_1.ogg") == "desk/AJ_1.ogg"
    write(files.outbox / "desk/AJ_1.ogg")
    assert files.new("desk/AJ_1.ogg") == "desk/AJ_1.2.ogg"
    write(files.live / "desk/AJ_1.2.ogg")
    assert files.new("desk/AJ_1.ogg") == "desk/AJ_1.3.ogg"


def test_files_that_wait_take_the_room_of_new_ones(files: CallFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Disk())
    assert files.has_room()
    write(files.outbox / "AJ_1.ogg", size=900)
    assert not files.has_room()


class _Disk:
    total, used = 100, 10


def test_a_disk_that_cannot_be_asked_has_no_room(tmp_path: Path) -> None:
    assert not CallFiles(tmp_path / "gone", limit_bytes=1000).has_room()


def test_a_worker_that_could_record_nothing_says_so_at_its_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(BadInputError, match="WORKER_FILES_DIRECTORY"):
        make_directories(CallFiles(tmp_path / "file" / "files", limit_bytes=1))


def test_the_limit_is_that_of_the_pods_disk() -> None:
    kept = load_keeping(Worker(), {"WORKER_FILES_DIRECTORY": "/x", "WORKER_LONGEST_UPLOAD_PAUSE_SECONDS": "2"})

    assert kept.files == CallFiles(Path("/x"), 10 << 30)
    assert kept.longest_pause_seconds == 2
    with pytest.raises(BadInputError, match="not a whole number"):
        load_keeping(Worker(), {"WORKER_LONGEST_UPLOAD_PAUSE_SECONDS": "soon"})
