import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from millstream import folder
from millstream.errors import ConfigurationError
from millstream.folder import LOCK_FILE, DataFolder, file_system, serving

LOCK = """
import sys, time
from pathlib import Path
from millstream.folder import DataFolder
held = DataFolder(Path(sys.argv[1]))
held.lock()
held.announce("http://127.0.0.1:8000")
print("locked", flush=True)
sys.stdin.read()
"""


def other_process(path: Path) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-c", LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    return process


def end(process: "subprocess.Popen[bytes]", sign: int) -> None:
    process.send_signal(sign)
    process.communicate(timeout=30)


def mounts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, table: str) -> None:
    file = tmp_path / "mounts"
    file.write_text(table)
    monkeypatch.setattr(folder, "_MOUNTS", file)


def test_the_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    DataFolder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_refused_with_a_way_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigurationError, match="MILLSTREAM_DATA"):
            DataFolder(path)


def test_a_folder_that_cannot_be_written_is_refused_with_a_way_on(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(ConfigurationError, match=r"cannot be written.*MILLSTREAM_DATA"):
        DataFolder(tmp_path).lock()


def test_a_second_process_is_refused_and_told_who_serves_and_the_way_on(tmp_path: Path) -> None:
    process = other_process(tmp_path)
    try:
        with pytest.raises(ConfigurationError) as refusal:
            DataFolder(tmp_path).lock()
        message = refusal.value.message
        for part in (f"process {process.pid}", "http://127.0.0.1:8000", str(tmp_path), "MILLSTREAM_DATA"):
            assert part in message
        found = serving(tmp_path)
        assert found is not None
        assert (found.pid, found.url) == (process.pid, "http://127.0.0.1:8000")
    finally:
        end(process, signal.SIGKILL)


def test_the_lock_of_a_dead_process_is_stale_and_taken_over(tmp_path: Path) -> None:
    end(other_process(tmp_path), signal.SIGKILL)
    assert (tmp_path / LOCK_FILE).read_bytes(), "it left its lock file behind"
    assert serving(tmp_path) is None
    data = DataFolder(tmp_path)
    data.lock()
    data.announce("http://127.0.0.1:9")
    found = serving(tmp_path)
    assert found is not None
    assert found.pid == os.getpid()
    data.unlock()


def test_an_unlocked_folder_can_be_locked_again(tmp_path: Path) -> None:
    for _ in range(2):
        data = DataFolder(tmp_path)
        data.lock()
        with pytest.raises(ConfigurationError):
            DataFolder(tmp_path).lock()
        data.unlock()
        data.unlock()
        assert serving(tmp_path) is None


def test_nobody_serves_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert serving(tmp_path / "none") is None


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph", "lustre"])
def test_a_network_file_system_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    mounts(monkeypatch, tmp_path, f"/dev/sda1 / ext4 rw 0 0\nserver:/export {tmp_path} {kind} rw 0 0\n")
    with pytest.raises(ConfigurationError, match=rf"network file system \({kind}\).*MILLSTREAM_DATA"):
        DataFolder(tmp_path / "data")


def test_the_innermost_mount_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "local"
    mounts(
        monkeypatch, tmp_path, f"server:/ / nfs rw 0 0\n/dev/sdb {inner} ext4 rw 0 0\nserver:/x /elsewhere nfs rw 0 0\n"
    )
    DataFolder(inner)
    assert file_system(inner / "deep") == "ext4"
    assert file_system(tmp_path / "localised") == "nfs", "a name that only begins alike is not below it"


def test_of_two_mounts_on_one_point_the_later_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts(monkeypatch, tmp_path, f"systemd-1 {tmp_path} autofs rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n")
    assert file_system(tmp_path / "data") == "nfs4"


def test_a_mount_point_with_a_blank_in_its_name_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts(monkeypatch, tmp_path, f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path}/my\\040share nfs rw 0 0\n")
    assert file_system(tmp_path / "my share" / "data") == "nfs"


def test_a_link_into_a_network_file_system_is_seen_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "share")
    mounts(monkeypatch, tmp_path, f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path}/share nfs rw 0 0\n")
    with pytest.raises(ConfigurationError, match="network file system"):
        DataFolder(tmp_path / "link" / "data")


def test_where_the_system_does_not_tell_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_MOUNTS", tmp_path / "none")
    assert file_system(tmp_path) is None
    DataFolder(tmp_path / "data")
