"""`system df`: the table from what the server says."""

from __future__ import annotations

from minidocker.cli.disk import compute_rows


def test_reclaimable_is_what_nobody_uses() -> None:
    """Images without containers, containers that do not run, volumes without users: what `prune` would free."""
    usage = {
        "LayersSize": 1000, "Images": [{"Size": 400, "Containers": 1}, {"Size": 600, "Containers": 0}],
        "Containers": [{"State": "running", "SizeRw": 10}, {"State": "exited", "SizeRw": 30}],
        "Volumes": [{"UsageData": {"Size": 5, "RefCount": 1}}, {"UsageData": {"Size": 15, "RefCount": 0}}],
        "BuildCache": [{"Size": 30, "InUse": True, "Shared": False}, {"Size": 70, "InUse": False, "Shared": False}],
    }  # fmt: skip
    assert compute_rows(usage) == [  # type: ignore[arg-type]  # a literal of dictionaries
        ("Images", "2", "1", "1kB", "600B (60%)"), ("Containers", "2", "1", "40B", "30B (75%)"),
        ("Local Volumes", "2", "1", "20B", "15B (75%)"), ("Build Cache", "2", "1", "100B", "70B (70%)"),
    ]  # fmt: skip
