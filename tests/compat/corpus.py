"""The corpus: Dockerfiles with all traps of the language, and what an engine that nobody here wrote made of them.

`tests/corpus/NAME.Dockerfile` is one case. Its comments say what it shows, `# oracle:` whose result counts, `# options:` with what
`docker build` is called, `# error:` which words the failure has. `NAME.json` is what the oracle made, the command below writes it
again. All cases share one context and one base image, both made here, so that every engine gets the same.

    DOCKER_HOST=unix:///run/docker.sock python3 -m tests.compat.corpus record     # BuildKit's cases, with its docker
    python3 -m tests.compat.corpus names hand                                      # those that were written by hand

What is compared: every path that is not as in the base image, with type, mode, owner, content or target, links and extended
attributes; the image's configuration field by field; the history's instructions. Not compared: times and digests.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
BASE = "corpus-base"
EPOCH = 1_700_000_000

PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"
GROUP = "root:x:0:\nstaff:x:50:\napp:x:1000:\n"
APPLETS = (
    "sh", "cat", "echo", "ls", "mkdir", "ln", "chmod", "chown", "touch", "rm", "mv", "cp", "id", "env", "printf", "test", "stat", "find", "sort", "grep", "head", "readlink", "mkfifo", "pwd", "true", "false", "tr", "wc",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """One Dockerfile of the corpus."""

    name: str
    rule: str
    oracle: str
    options: tuple[str, ...]
    error: str
    path: Path

    @property
    def expected(self) -> Any:
        """What the oracle made."""
        return json.loads(self.path.with_suffix(".json").read_text())


def read_cases() -> list[Case]:
    """Return all cases, sorted by name."""
    return [_read_case(path) for path in sorted(CORPUS.glob("*.Dockerfile"))]


def _read_case(path: Path) -> Case:
    comments = [line[1:].strip() for line in path.read_text().splitlines() if line.startswith("#")]
    notes = dict(re.findall(r"^(oracle|options|error): *(.*)$", "\n".join(comments), re.MULTILINE))
    rule = next(line for line in comments if not re.match(r"(oracle|options|error|syntax|escape|check) *[:=]|!", line))
    return Case(
        name=path.stem, rule=rule, oracle=notes["oracle"], options=tuple(shlex.split(notes.get("options", ""))), error=notes.get("error", ""),
        path=path,
    )  # fmt: skip


def make_context(directory: Path) -> None:
    """Fill *directory* with files of all kinds."""
    files = {
        "a.txt": "a\n", "b.txt": "b\n", "script.sh": "#!/bin/sh\necho run\n", "private.txt": "private\n", "setuid": "s\n", "with space.txt": "space\n",
        "ünï.txt": "unicode\n", "dir/one.txt": "one\n", "dir/two.md": "two\n", "dir/sub/three.txt": "three\n", "dir/sub/deep/x.log": "log\n",
        "dir2/one.txt": "other one\n", "dir2/four.txt": "four\n", "fake.tar": "no archive\n", "node_modules/p/index.js": "p\n",
        "node_modules/p/keep.txt": "keep\n", "README.md": "readme\n", "docs/README.md": "docs\n", "docs/x.md": "x\n", "[x].txt": "bracket\n",
    }  # fmt: skip
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (directory / "empty").mkdir()
    for name, target in {"filelink": "a.txt", "dirlink": "dir", "dir/link": "one.txt", "dir/dangling": "nowhere", "dir/abs": "/etc/passwd", "outlink": "../../../etc/passwd"}.items():
        (directory / name).symlink_to(target)
    for suffix in ("gz", "bz2", "xz"):
        (directory / f"archive.tar.{suffix}").write_bytes(_make_archive(suffix))
    modes = {"script.sh": 0o755, "private.txt": 0o600, "setuid": 0o4755, "dir/sub": 0o700, "empty": 0o1777}
    for path in [directory, *directory.rglob("*")]:
        if not path.is_symlink():
            path.chmod(modes.get(str(path.relative_to(directory)), 0o755 if path.is_dir() else 0o644))
            os.utime(path, (EPOCH, EPOCH))
    for case in read_cases():
        for source in (case.path, Path(f"{case.path}.dockerignore")):
            if source.exists():
                shutil.copyfile(source, directory / source.name)


def _make_archive(suffix: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, "packed/", mode=0o750, uid=1000, gid=50)
        _add(archive, "packed/file", b"packed\n", mode=0o640, uid=1000, gid=50, headers={"SCHILY.xattr.user.note": "kept"})
        _add(archive, "packed/soft", link="file", kind=tarfile.SYMTYPE)
        _add(archive, "packed/hard", link="packed/file", kind=tarfile.LNKTYPE, mode=0o640, uid=1000, gid=50)
    data = buffer.getvalue()
    if suffix == "gz":
        return gzip.compress(data, mtime=0)
    return bz2.compress(data) if suffix == "bz2" else lzma.compress(data)


def _add(
    archive: tarfile.TarFile, name: str, content: bytes = b"", *, mode: int = 0o777, uid: int = 0, gid: int = 0, link: str = "",
    kind: bytes = tarfile.REGTYPE, headers: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    member = tarfile.TarInfo(name.rstrip("/"))
    member.type = tarfile.DIRTYPE if name.endswith("/") else kind
    member.mode, member.uid, member.gid, member.size, member.mtime, member.linkname = mode, uid, gid, len(content), EPOCH, link
    member.pax_headers = dict(headers or {})
    archive.addfile(member, io.BytesIO(content))


def make_base(busybox: str) -> bytes:
    """Return the archive of the base image: a shell, two users, and nothing else."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("bin/", "dev/", "etc/", "home/", "proc/", "root/", "run/", "sys/", "usr/", "var/"):
            _add(archive, name, mode=0o755)
        _add(archive, "tmp/", mode=0o1777)
        _add(archive, "home/app/", mode=0o755, uid=1000, gid=1000)
        _add(archive, "bin/busybox", Path(busybox).read_bytes(), mode=0o755)
        for applet in APPLETS:
            _add(archive, f"bin/{applet}", link="busybox", kind=tarfile.SYMTYPE)
        for name, content in {"passwd": PASSWD, "group": GROUP, "hosts": "", "resolv.conf": "", "hostname": "", "removed": "to be removed\n"}.items():
            _add(archive, f"etc/{name}", content.encode(), mode=0o644)
        for name in ("opt/", "opt/tree/", "opt/tree/old/"):
            _add(archive, name, mode=0o755)
        _add(archive, "opt/tree/old/file", b"old\n", mode=0o644)
    return buffer.getvalue()


Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def import_base(docker: Run, busybox: str) -> None:
    """Give an engine the base image, with a command and a label of its own."""
    changes = ["-c", "ENV PATH=/bin BASE=base", "-c", 'CMD ["base-command"]', "-c", "LABEL base=yes"]
    done = docker("import", *changes, "-", BASE, input=make_base(busybox))
    assert done.returncode == 0, done.stderr.decode()


def build_and_describe(docker: Run, case: Case, context: Path) -> Any:
    """Build a case and return what came out, in the form of its expectation."""
    tag = f"corpus-{case.name.lower()}"
    done = docker("build", "-q", "-t", tag, "-f", str(context / case.path.name), *case.options, str(context))
    if done.returncode:
        return {"error": done.stderr.decode()}
    saved = docker("save", tag)
    assert saved.returncode == 0, saved.stderr.decode()
    base = docker("save", BASE)
    result = describe_image(saved.stdout, base.stdout)
    docker("rmi", "-f", tag)
    return result


def describe_image(saved: bytes, base: bytes) -> dict[str, Any]:
    """Return configuration, history and files of a `docker save` archive; of the files only what is not as in *base*."""
    config, tree = _read_image(saved)
    _, before = _read_image(base)
    changed = {path: entry for path, entry in tree.items() if before.get(path) != entry}
    changed |= dict.fromkeys(before.keys() - tree.keys(), "removed")
    fields = {name: value for name, value in config.get("config", {}).items() if value not in (None, "", [], {}, False)}
    history = [
        ("    " if step.get("empty_layer") else "layer ") + step.get("created_by", "") for step in config.get("history", ()) if step.get("created_by")
    ]  # fmt: skip
    top = {name: config[name] for name in ("architecture", "os", "variant", "author") if config.get(name)}
    return {**top, "config": dict(sorted(fields.items())), "history": history, "files": dict(sorted(changed.items()))}


def _read_image(saved: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:

        def read(name: str) -> bytes:
            file = archive.extractfile(name)
            assert file is not None, name
            return file.read()

        manifest = json.loads(read("manifest.json"))[0]
        config: dict[str, Any] = json.loads(read(manifest["Config"]))
        return config, _flatten([read(name) for name in manifest["Layers"]])


def _flatten(layers: Sequence[bytes]) -> dict[str, str]:
    """Return path → description of the file system that *layers* add up to."""
    found: dict[str, tuple[str, int]] = {}
    numbers: dict[str, int] = {}
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            members = list(archive)
            for member in members:
                directory, _, name = _path_of(member.name).rpartition("/")
                if name == ".wh..wh..opq":
                    _drop(found, directory, keep_itself=True)
                elif name.startswith(".wh."):
                    _drop(found, f"{directory}/{name[4:]}")
            for member in members:
                path = _path_of(member.name)
                if path in ("/", "/.") or "/.wh." in path:
                    continue
                if not member.isdir():
                    _drop(found, path)
                if member.islnk():
                    found[path] = found[_path_of(member.linkname)]
                else:
                    numbers[path] = len(numbers) if path not in numbers else numbers[path] + 100_000
                    found[path] = (_describe(archive, member), numbers[path])
    by_number: dict[int, list[str]] = {}
    for path, (_, number) in found.items():
        by_number.setdefault(number, []).append(path)
    return {
        path: text + "".join(f" = {other}" for other in sorted(by_number[number]) if other != path) for path, (text, number) in found.items()
    }  # fmt: skip


def _path_of(name: str) -> str:
    return "/" + name.removeprefix("./").strip("/")


def _drop(found: dict[str, tuple[str, int]], path: str, *, keep_itself: bool = False) -> None:
    for one in [one for one in found if one.startswith(f"{path}/") or (one == path and not keep_itself)]:
        del found[one]


def _describe(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    owner = f"{member.mode & 0o7777:o} {member.uid}:{member.gid}"
    attributes = "".join(
        f" {name.removeprefix('SCHILY.xattr.')}={value!r}" for name, value in sorted(member.pax_headers.items()) if name.startswith("SCHILY.xattr.")
    )  # fmt: skip
    if member.isdir():
        return f"directory {owner}{attributes}"
    if member.issym():
        return f"link {member.uid}:{member.gid} {member.linkname}"
    if not member.isfile():
        return f"special {member.type!r} {owner}{attributes}"
    file = archive.extractfile(member)
    content = file.read() if file else b""
    shown = repr(content.decode("latin-1")) if len(content) <= 200 else f"sha256:{hashlib.sha256(content).hexdigest()}"
    return f"file {owner} {shown}{attributes}"


def record(docker: Run, busybox: str, names: Sequence[str]) -> None:
    """Let BuildKit build its cases, and keep what it makes."""
    import_base(docker, busybox)
    version = docker("version", "--format", "{{.Server.Version}}").stdout.decode().strip()
    with tempfile.TemporaryDirectory() as directory:
        make_context(Path(directory))
        for case in read_cases():
            if not case.oracle.startswith("BuildKit") or (names and case.name not in names):
                continue
            result = build_and_describe(docker, case, Path(directory))
            if "error" in result:
                print(case.name, result["error"].splitlines()[-1:])
                result = {"error": True}
            expected = {"oracle": f"BuildKit of dockerd {version}", **result}
            case.path.with_suffix(".json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


def main(words: Sequence[str]) -> int:
    """Record, or list names."""
    if words[:1] == ["record"]:

        def docker(*arguments: str, input: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
            environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
            return subprocess.run(["docker", *arguments], env=environment, input=input, capture_output=True, check=False)

        record(docker, shutil.which("busybox") or "busybox", words[1:])
        return 0
    print("\n".join(case.name for case in read_cases() if not words[1:] or case.oracle.startswith(words[1])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
