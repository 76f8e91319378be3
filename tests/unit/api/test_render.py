"""Execs, volumes, images and events in Docker's JSON."""

from __future__ import annotations

from minidocker.api.render_event import render_event
from minidocker.api.render_exec import render_exec
from minidocker.api.render_image import render_image_details, render_image_summary
from minidocker.api.render_volume import render_volume
from minidocker.engine.events import Event
from minidocker.engine.exec import ExecRecord, ExecRequest
from minidocker.engine.images import ImageSummary
from minidocker.volume.store import VolumeRecord


def test_exec_that_runs_has_no_exit_code_yet() -> None:
    """Null, not zero: a client must not take it for success."""
    request = ExecRequest(cmd=("ls", "-l"), attach_stdout=True, user="1000")
    running = render_exec(ExecRecord(id="e", container_id="c", request=request, running=True, pid=7))
    assert (running["ExitCode"], running["Running"], running["Pid"]) == (None, True, 7)
    assert running["ProcessConfig"] == {
        "tty": False, "entrypoint": "ls", "arguments": ["-l"], "privileged": False, "user": "1000",
    }  # fmt: skip


def test_volume_without_labels_has_null_and_an_anonymous_one_its_label() -> None:
    """The label is how `docker volume prune` and people tell a volume that nobody named."""
    record = VolumeRecord(name="v", mountpoint="/v/_data", created_at="2026-01-01T00:00:00.123456789Z")
    assert render_volume(record) == {
        "CreatedAt": "2026-01-01T00:00:00Z", "Driver": "local", "Labels": None, "Mountpoint": "/v/_data", "Name": "v",
        "Options": None, "Scope": "local",
    }  # fmt: skip
    unnamed = render_volume(VolumeRecord(name="v", anonymous=True), usage=(10, 2))
    assert unnamed["Labels"] == {"com.docker.volume.anonymous": ""}
    assert unnamed["UsageData"] == {"Size": 10, "RefCount": 2}


def test_image_has_a_virtual_size_only_for_clients_that_know_it() -> None:
    """API 1.44 dropped the field."""
    summary = ImageSummary(id="sha256:1", repo_tags=("a:1",), size=5, virtual_size=5)
    old, new = render_image_summary(summary, version=(1, 43)), render_image_summary(summary, version=(1, 44), containers=2)
    assert old["VirtualSize"] == 5
    assert "VirtualSize" not in new
    assert (old["Containers"], new["Containers"]) == (-1, 2)
    assert (new["RepoTags"], new["RepoDigests"], new["Labels"]) == (["a:1"], [], None)


def test_image_details_print_null_where_go_has_a_nil_map() -> None:
    """Beside dockerd's, line by line."""
    shown = render_image_details({"Config": {"Env": [], "Labels": {}, "Cmd": ["sh"]}, "VirtualSize": 1}, version=(1, 50))
    assert shown == {"Config": {"Env": None, "Labels": None, "Cmd": ["sh"]}}


def test_event_repeats_its_keys_for_old_clients() -> None:
    """`status`, `id` and `from` are older than `Action` and `Actor`, and still read."""
    event = Event(type="container", action="die", actor_id="c", attributes={"image": "a", "name": "n"}, time_ns=1_500_000_001)
    assert render_event(event) == {
        "status": "die", "id": "c", "from": "a", "Type": "container", "Action": "die",
        "Actor": {"ID": "c", "Attributes": {"image": "a", "name": "n"}}, "scope": "local", "time": 1,
        "timeNano": 1_500_000_001,
    }  # fmt: skip
    network = render_event(Event(type="network", action="connect", actor_id="n", time_ns=0))
    assert "status" not in network
