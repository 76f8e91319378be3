"""`image tree`: what layers do to each other, from the archive of `docker save`."""

from __future__ import annotations

import gzip
import io
import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.cli.image_tree import render_json, render_page, render_tree
from minidocker.cli.layer_stack import LayerReport, compute_reports, read_image
from minidocker.codec.tar import END_OF_ARCHIVE, Kind, TarEntry, TarReader, render_header, render_padding
from minidocker.errors import InvalidParameter

Layer = dict[str, int]
"""Names (with `/` at the end: directories) and sizes."""


def make_tar(files: dict[str, bytes]) -> bytes:
    """Return an archive."""
    pieces = []
    for name, data in files.items():
        kind = Kind.DIRECTORY if name.endswith("/") else Kind.FILE
        pieces += [render_header(TarEntry(name=name.rstrip("/").encode(), kind=kind, size=len(data))), data, render_padding(len(data))]
    return b"".join(pieces) + END_OF_ARCHIVE


def save(*layers: Layer, compress: bool = False, history: list[dict[str, object]] | None = None) -> bytes:
    """Return an image of *layers* as `docker save` writes it."""
    tars = [make_tar({name: bytes(size) for name, size in layer.items()}) for layer in layers]
    steps = history if history is not None else [{"created_by": f"RUN {number}"} for number in range(len(layers))]
    config = {"rootfs": {"type": "layers", "diff_ids": [f"sha256:{number:064}" for number in range(len(layers))]}, "history": steps}
    manifest = [{"Config": "c.json", "RepoTags": ["x:1"], "Layers": [f"l{number}" for number in range(len(layers))]}]
    blobs = {f"l{number}": gzip.compress(tar) if compress else tar for number, tar in enumerate(tars)}
    return make_tar({**blobs, "c.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()})


def report(*layers: Layer, compress: bool = False) -> list[LayerReport]:
    """Return the reports about *layers*."""
    return compute_reports(read_image(TarReader(io.BytesIO(save(*layers, compress=compress)))))


STACKS: dict[str, tuple[tuple[Layer, ...], dict[str, object]]] = {
    "one": (({"d/": 0, "d/a": 5},), {"added": (("/d/a", 5),), "size": 5, "wasted": 0}),
    "file again": (({"a": 5}, {"a": 7}), {"changed": (("/a", 7),), "added": (), "wasted": 5}),
    "file gone": (({"d/": 0, "d/a": 5}, {"d/": 0, "d/.wh.a": 0}), {"hidden": (("/d/a", 5),), "added": (), "wasted": 5}),
    "directory gone": (({"d/": 0, "d/a": 5, "d/b": 6}, {".wh.d": 0}), {"hidden": (("/d/a", 5), ("/d/b", 6)), "wasted": 11}),
    "empty directory gone": (({"d/": 0}, {".wh.d": 0}), {"hidden": (("/d", 0),), "wasted": 0}),
    "opaque": (({"d/": 0, "d/a": 5}, {"d/": 0, "d/b": 1, "d/.wh..wh..opq": 0}), {"hidden": (("/d/a", 5),), "added": (("/d/b", 1),)}),
    "gone and there again in one layer": (({"a": 5}, {".wh.a": 0, "a": 7}), {"changed": (("/a", 7),), "hidden": (), "wasted": 5}),
    "directory becomes a file": (({"d/": 0, "d/a": 5}, {"d": 3}), {"changed": (("/d", 3),), "wasted": 5}),
    "gone twice counts once": (({"a": 5}, {".wh.a": 0}, {".wh.a": 0}), {"hidden": (), "wasted": 0}),
}  # fmt: skip


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("layers", "expected"), STACKS.values(), ids=STACKS)
def test_topmost_layer_is_reported(layers: tuple[Layer, ...], expected: dict[str, object], compress: bool) -> None:
    """The rules of whiteouts, seen from the reader's side: what is hidden below still takes up space."""
    top = report(*layers, compress=compress)[-1]
    assert {key: getattr(top, key) for key in expected} == expected


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", ".wh.a", ".wh.b"]), st.integers(0, 50)), max_size=6))
def test_what_is_not_wasted_is_what_is_seen(layers: list[Layer]) -> None:
    """Size of all layers = what the stack shows + what is wasted."""
    shown: Layer = {}
    for layer in layers:
        for name in layer:
            if name.startswith(".wh."):
                shown.pop(name.removeprefix(".wh."), None)
        shown.update({name: size for name, size in layer.items() if not name.startswith(".wh.")})
    reports = report(*[{n: 0 if n.startswith(".wh.") else s for n, s in layer.items()} for layer in layers])
    assert sum(r.size for r in reports) == sum(shown.values()) + sum(r.wasted for r in reports)


def test_instructions_without_a_layer_are_shown_too() -> None:
    """`ENV` and its like change only the configuration."""
    archive = save({"a": 1}, history=[{"created_by": "FROM"}, {"created_by": "ENV X=1", "empty_layer": True}])
    reports = compute_reports(read_image(TarReader(io.BytesIO(archive))))
    assert [(r.number, r.created_by) for r in reports] == [(1, "FROM"), (0, "ENV X=1")]


def test_terminal_shows_the_largest_files_and_says_what_it_leaves_out() -> None:
    """A layer may have a hundred thousand files; lines are cut at the width of the terminal."""
    reports = report({f"f{n}": n for n in range(20)}, {"f3": 1, ".wh.f19": 0})
    lines = render_tree("x:1", reports, shown=2, width=40)
    assert lines[0] == "x:1: 2 layers, 191B, wasted 22B (12 %)"
    assert any("/f19" in line for line in lines)
    assert any("and 18 more" in line for line in lines)
    assert max(map(len, lines)) <= 70
    assert len(render_tree("x:1", reports, shown=None, width=40)) > len(lines)


class _Page(HTMLParser):
    """Notes everything that a page could load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note links, scripts and handlers."""
        self.foreign += [tag] if tag in ("script", "link", "img", "iframe") else []
        self.foreign += [name for name, _ in attrs if name in ("src", "href") or name.startswith("on")]

    def handle_data(self, data: str) -> None:
        """Collect the text."""
        self.text += data


def test_page_is_self_contained_whatever_files_are_called() -> None:
    """The names come from an image of somebody else: they are text in the page and nothing more."""
    name = "<script>alert(1)</script>"
    page = _Page()
    page.feed(render_page("x:1", report({name.replace("/", "-"): 5})))
    assert page.foreign == []
    assert "<script>alert(1)<-script>" in page.text


def test_json_has_everything() -> None:
    """For programs: all files of all layers, with sizes in bytes."""
    document = render_json("x:1", report({"a": 5}, {"a": 7}))
    assert isinstance(document, dict)
    assert (document["size"], document["wasted"]) == (12, 5)
    assert json.loads(json.dumps(document)) == document


@pytest.mark.parametrize("archive", [make_tar({}), make_tar({"manifest.json": b"[]"}), make_tar({"manifest.json": b'[{"Layers": ["x"]}]', "c": b"{}"})])
def test_something_else_is_refused(archive: bytes) -> None:
    """One sentence instead of a traceback."""
    with pytest.raises(InvalidParameter):
        read_image(TarReader(io.BytesIO(archive)))
