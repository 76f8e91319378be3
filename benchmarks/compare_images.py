"""Compare `save`, `load` and the unpacking of a layer with dockerd and GNU tar; print Markdown for `docs/benchmarks.md`.

    sudo python3 benchmarks/compare_images.py [--rounds N] [--megabytes N] [--files N] [--only save,load,extract] [--directory DIR]

The image is one layer of random bytes, which no compression makes smaller, so that hashing and writing are what is measured.
Both servers get the same `docker` client and the same archive; the highest memory of our server stands under the table. A
layer of many small files is unpacked by our extractor and by `tar -x` on the same file system.
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from benchmarks import compare_run  # noqa: E402 - needs the checkout on the path
from benchmarks.compare_run import (  # noqa: E402
    OURS, Candidate, describe_machine, find_able, measure, render_comparison, run_process,
)  # fmt: skip
from benchmarks.peers import PYTHON, Engine, Missing, make_image_tar, require_program, start_dockerd, start_minidocker  # noqa: E402

BIG = "big:1"
EXTRACT = """
import os, sys
from minidocker.codec.tar import TarReader
from minidocker.image.extract import extract_layer
source, target = open(sys.argv[1], "rb", buffering=0), os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECTORY)
extract_layer(TarReader(source), target)
"""


def make_big_tar(path: Path, megabytes: int) -> None:
    """Write the root file system of the image: 16 files of random bytes."""
    with tarfile.open(path, "w") as archive:
        for number in range(16):
            member = tarfile.TarInfo(f"random{number}")
            member.size = megabytes * (1 << 20) // 16
            with open("/dev/urandom", "rb") as source:
                archive.addfile(member, source)


def make_files_tar(path: Path, files: int) -> None:
    """Write a layer of many small files, a hundred in each directory, up to three kilobytes each."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(files):
            directory = f"d{number // 10000}/s{number // 100}"
            if number % 100 == 0:
                member = tarfile.TarInfo(directory)
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(member)
            member = tarfile.TarInfo(f"{directory}/file{number}")
            member.size, member.mode, member.mtime = number * 37 % 3000, 0o644, 1_700_000_000
            archive.addfile(member, io.BytesIO(os.urandom(member.size)))


def peak_memory(process_id: int) -> str:
    """Return the most memory that a process has ever had resident."""
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("VmHWM"))


def compare_save(engines: dict[str, Engine], directory: Path) -> list[Candidate]:
    """`save` to a file on the same file system."""

    def save(engine: Engine) -> None:
        run_process((*with_docker(engine), "save", "-o", str(directory / f"{engine.name}.out"), BIG))

    return [Candidate(name=name, act=lambda e=engine: save(e), target=1.2 if name != OURS else None) for name, engine in engines.items()]  # type: ignore[misc]


def compare_load(engines: dict[str, Engine], directory: Path) -> list[Candidate]:
    """`load` into a store that does not have the image, which is removed again: both are timed."""

    def load(engine: Engine) -> None:
        run_process((*with_docker(engine), "rmi", "-f", BIG))
        run_process((*with_docker(engine), "load", "-q", "-i", str(directory / "big.tar")))

    return [Candidate(name=name, act=lambda e=engine: load(e), target=1.2 if name != OURS else None) for name, engine in engines.items()]  # type: ignore[misc]


def with_docker(engine: Engine) -> tuple[str, ...]:
    """Return Docker's own client for an engine, so that the servers are what differs."""
    return (require_program("docker", "docker.io"), "-H", f"unix://{engine.socket_path}")


def compare_extract(directory: Path) -> list[Candidate]:
    """Whole processes, the target removed again by both in the same way."""
    target = directory / "target"

    def extract(command: Sequence[str]) -> None:
        target.mkdir()
        try:
            run_process(command)
        finally:
            shutil.rmtree(target)

    ours = (PYTHON, "-c", EXTRACT, str(directory / "files.tar"), str(target))
    theirs = (require_program("tar", "tar"), "-xf", str(directory / "files.tar"), "-C", str(target))
    return [
        Candidate(name=OURS, act=lambda: extract(ours)), Candidate(name="GNU tar", act=lambda: extract(theirs), target=1.5),
    ]  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description="Compare saving, loading and unpacking images with dockerd and GNU tar.")
    parser.add_argument("--rounds", type=int, default=3, help="turns that are counted (default: 3)")
    parser.add_argument("--megabytes", type=int, default=1024, help="size of the image (default: 1024)")
    parser.add_argument("--files", type=int, default=100_000, help="files in the layer (default: 100000)")
    parser.add_argument("--only", default="save,load,extract", help="comparisons, separated by commas (default: %(default)s)")
    parser.add_argument("--directory", help="where everything is written (default: a temporary directory)")
    options = parser.parse_args(arguments)
    if sys.platform != "linux" or os.geteuid() != 0:
        print("compare_images: starts engines, and needs Linux and root for it", file=sys.stderr)
        return 2
    compare_run.WARM_UP_ROUNDS = 1  # a gigabyte is warm after one
    directory = Path(tempfile.mkdtemp(prefix="mdi", dir=options.directory))
    wanted = options.only.split(",")
    try:
        with ExitStack() as stack:
            print(f"Measured on {describe_machine()}, by:\n")
            print(f"```sh\nsudo python3 benchmarks/compare_images.py {shlex.join(arguments)}".rstrip() + "\n```\n")
            if "extract" in wanted:
                make_files_tar(directory / "files.tar", options.files)
                candidates = compare_extract(directory)
                title = f"A layer of {options.files:,} files, unpacked and removed again"
                print(render_comparison(title, candidates, measure(candidates, options.rounds)), flush=True)
            if "save" in wanted or "load" in wanted:
                _compare_servers(stack, directory, options.megabytes, options.rounds, wanted)
    except Missing as error:
        print(f"compare_images: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def _compare_servers(stack: ExitStack, directory: Path, megabytes: int, rounds: int, wanted: Sequence[str]) -> None:
    make_image_tar(directory / "image.tar")
    make_big_tar(directory / "root.tar", megabytes)
    engines: dict[str, Engine] = {}
    notes: list[str] = []
    for name, start in ((OURS, start_minidocker), ("docker", start_dockerd)):
        try:
            engines[name] = stack.enter_context(start(directory / name, directory / "image.tar"))
        except Missing as error:
            if name == OURS:
                raise
            notes.append(f"- `{name}` was left out: {error}")
    run_process((*with_docker(engines[OURS]), "import", str(directory / "root.tar"), BIG))
    run_process((*with_docker(engines[OURS]), "save", "-o", str(directory / "big.tar"), BIG))
    for engine in engines.values():
        run_process((*with_docker(engine), "load", "-q", "-i", str(directory / "big.tar")))
    for key, title, compare in (("save", "`save`", compare_save), ("load", "`rmi` and `load`", compare_load)):
        if key in wanted:
            candidates = find_able(compare(engines, directory), notes)
            print(render_comparison(f"{title} of {megabytes} MiB", candidates, measure(candidates, rounds)), flush=True)
    print("\n".join([*notes, f"The server's memory was {peak_memory(engines[OURS].process_id)} at its highest."]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
