"""`.dockerignore`, compared with the `docker` client: what it packs for a build is what the rules let through.

The server here only records the archive that the client's classic builder sends. That client walks past one thing: it does not
look for exceptions that begin with a wildcard below a directory that is out (BuildKit's does), so `_walk` leaves such directories
out as it does.
"""

from __future__ import annotations

import io
import os
import random
import socketserver
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import cast

import pytest

from minidocker.dockerfile.ignore import IgnoreRule, Verdict, decide, keep_build_files, parse_ignore_file
from minidocker.dockerfile.mistake import DockerfileError

pytestmark = pytest.mark.requires("docker")

FILES = [
    "Dockerfile", ".dockerignore", ".git/config", ".hidden", "README.md", "a", "a.md", "ab", "abc/d", "a-b.c", "b/a", "b/a.md", "b/c/a",
    "b/c/d/a", "b/c/d/keep", "b/keep", "d[1]", "d1", "docs/README.md", "docs/api/index.md", "docs/x.txt", "foo/bar", "node_modules/p/index.js",
    "node_modules/p/keep.txt", "sp ace/x", "src/a.pyc", "src/a.py", "src/sub/a.pyc", "src/sub/b.txt", "temp", "tempa", "x^y", "ä/ö", "#x", "!x",
]  # fmt: skip

IGNORES = {
    "nothing": "",
    "one name is anchored": "a\n",
    "any depth": "**/a\n",
    "a directory with all below": "b\n",
    "slash in front and behind": "/b/\n",
    "dots": "./b/../foo\n../a\n",
    "star stops at a slash": "*/a\n",
    "question mark": "temp?\n?\n",
    "two levels": "*/*/a\n",
    "double star within": "b/**/a\n",
    "double star behind": "b/**\n",
    "double star behind letters": "a**\n",
    "double star before letters": "**md\n",
    "everything": "**\n",
    "everything but": "*\n!README.md\n!docs\n",
    "everything but below": "**\n!b/c/d/keep\n",
    "exception below what is out": "b\n!b/c/d\n",
    "exception below a wildcard": "*\n!b/keep\n!src/**\n",
    "exception taken back": "docs\n!docs/api\ndocs/api/index.md\n",
    "last one wins": "*.md\n!README.md\nREADME.*\n",
    "last one wins, the other way": "*.md\nREADME.*\n!README.md\n",
    "exception of any depth": "**/*.md\n!**/README.md\n",
    "exception that the client does not look for": "node_modules\n!**/keep.txt\n",
    "comments only in the first column": "#x\n #x\n",
    "an escaped mark": "\\!x\n\\#x\n",
    "blanks around": "  a  \n\t! b \n",
    "carriage returns": "a\r\nb\r\n!b/keep\r\n",
    "byte order mark": "\ufeffa\nb\n",
    "classes": "[ab].md\nd[0-9]\n[^a-z]*\n",
    "a class matches a slash": "b[^x]a\n",
    "an escaped bracket": "d\\[1\\]\n",
    "brackets match one": "d[1]\n",
    "caret": "x^y\nx^*\n",
    "blank in a name": "sp ace\n",
    "letters beyond ASCII": "ä/?\n",
    "the build's own files": "Dockerfile\n.dockerignore\n",
    "all files with a dot": ".*\n",
    "a rule that was not asked": "b\n!b/c\nb*\n",
    "exception of a parent": "b/c\n!b\n",
    "only the file in a directory": "foo/bar\n",
    "dot in a pattern is a dot": "a.b.c\na?b.c\n",
    "a mark that goes": "*\n!../a\n",
}


class _Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(b'{"ApiVersion": "1.45", "Version": "26.1", "Os": "linux", "Arch": "amd64"}')

    def do_POST(self) -> None:
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        cast(_Server, self.server).bodies.append(body)
        self._answer(b'{"stream":"Successfully built 123456789abc\\n"}\n')

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        for name, value in (("Api-Version", "1.45"), ("Content-Type", "application/json"), ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str) -> None:
        self.bodies: list[bytes] = []
        super().__init__(path, _Recorder)

    def get_request(self) -> tuple[object, tuple[str, int]]:  # type: ignore[override]  # http.server wants an address to print
        connection, _ = super().get_request()
        return connection, ("unix", 0)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[_Server]:
    with _Server(str(tmp_path / "s")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _fill(context: Path, ignore: str) -> None:
    for name in FILES:
        path = context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("FROM scratch\n" if name == "Dockerfile" else name)
    (context / ".dockerignore").write_bytes(ignore.encode())


def _pack(recorder: _Server, context: Path) -> set[str] | str:
    """Return the files that the client sends, or its complaint."""
    environment = {**os.environ, "DOCKER_BUILDKIT": "0", "DOCKER_HOST": f"unix://{recorder.server_address!s}", "DOCKER_CONFIG": str(context.parent)}
    done = subprocess.run(["docker", "build", str(context)], env=environment, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        return done.stderr
    with tarfile.open(fileobj=io.BytesIO(recorder.bodies.pop())) as archive:
        return {member.name for member in archive if member.isfile()}


def _walk(rules: tuple[IgnoreRule, ...], context: Path) -> set[str]:
    kept: set[str] = set()

    def visit(directory: Path, above: Verdict) -> None:
        for entry in sorted(directory.iterdir()):
            path = str(entry.relative_to(context))
            verdict = decide(rules, path, above)
            if entry.is_file() and not verdict.is_ignored:
                kept.add(path)
            if entry.is_dir() and not (verdict.is_ignored and not any(rule.is_exception and f"{rule.pattern}/".startswith(f"{path}/") for rule in rules)):
                visit(entry, verdict)

    visit(context, Verdict())
    return kept


def _compare(recorder: _Server, context: Path, ignore: str) -> None:
    _fill(context, ignore)
    theirs = _pack(recorder, context)
    if isinstance(theirs, str):
        with pytest.raises(DockerfileError):
            parse_ignore_file(ignore)
    else:
        assert _walk(keep_build_files(parse_ignore_file(ignore), "Dockerfile"), context) == theirs


@pytest.mark.parametrize("name", IGNORES)
def test_client_packs_what_the_rules_let_through(name: str, recorder: _Server, tmp_path: Path) -> None:
    """The client is Docker's own, so what it leaves out is what people are used to."""
    _compare(recorder, tmp_path / "context", IGNORES[name])


@pytest.mark.parametrize("ignore", ["!\n", "a\n!/\n", "[\n", "[]a]\n", "[a-]\n", "a\\\n"])
def test_pattern_that_means_nothing_is_refused_by_both(ignore: str, recorder: _Server, tmp_path: Path) -> None:
    """A pattern that nobody can mean is an error, not a rule that matches nothing."""
    _compare(recorder, tmp_path / "context", ignore)
    with pytest.raises(DockerfileError) as caught:
        parse_ignore_file(ignore)
    assert "^" in str(caught.value)


PIECES = ["a", "b", "c", "d", "*", "**", "/", "/", "?", ".md", "[ab]", "[^a]", "src", "keep", "\\a", "docs", "."]


@pytest.mark.parametrize("seed", range(int(os.environ.get("IGNORE_SEEDS", "12"))))
def test_random_rules_are_read_alike(seed: int, recorder: _Server, tmp_path: Path) -> None:
    """Patterns that nobody would write find what nobody thought of; `IGNORE_SEEDS` asks for more of them."""
    chance = random.Random(seed)
    lines = ["!" * (chance.random() < 0.3) + "".join(chance.choices(PIECES, k=chance.randint(1, 5))) for _ in range(chance.randint(1, 5))]
    _compare(recorder, tmp_path / "context", "\n".join(lines))
