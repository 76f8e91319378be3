"""Run the tests of tier 2 in virtual machines: `python3 noxfile.py vm`, or `python3 -m tests.vm [--keep] [MACHINE …]`.

Needs no root: a kernel is fetched with apt (or given with `--kernel`), everything else is put together from this checkout and the
interpreter that runs it. Exit status: 0 all passed, 1 something failed, 3 this computer cannot run the machines; says why.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from minidocker.errors import MinidockerError
from minidocker.machine.boot import run_machine
from minidocker.machine.initramfs import (
    LIBRARY_DIRECTORY, PROJECT_DIRECTORY, Interpreter, find_interpreter, gather_system, render_extras, write_archive,
)  # fmt: skip
from minidocker.machine.kernel_image import require_machine
from minidocker.machine.kernels import Kernel, open_kernel
from minidocker.machine.modules import MACHINE_MODULES
from minidocker.machine.packages import fetch_package
from minidocker.machine.qemu import Hardware, choose_accelerator, find_qemu, render_command
from minidocker.machine.settings import Settings
from tests.vm.plan import MACHINES, judge_report, names_of

CHECKOUT: Final = Path(__file__).resolve().parents[2]
REPORT: Final = "/run/report.xml"
SCRATCH_DISK_BYTES: Final = 64 << 20
"""A block device whose use can be limited."""
MEMORY_MIB: Final = 1024
EMULATION_PATIENCE: Final = "10"
"""By how much time-outs in tests are longer under emulation."""
LACKING: Final = "vm-lacking.txt"
"""Where a session finds out why nothing ran."""
_print_lock: Final = threading.Lock()


def say(text: str) -> None:
    """Print a line; several machines may run at once."""
    with _print_lock:
        print(text, flush=True)


def list_project_files() -> list[Path]:
    """Return the files of this checkout that the machine gets: the program, and the tests that run there."""
    patterns = ("minidocker/**/*.py", "chapters/**/*", "tests/*.py", "tests/linux/**/*.py", "bin/*")
    found = {path for pattern in patterns for path in CHECKOUT.glob(pattern) if path.is_file() and "__pycache__" not in path.parts}
    return sorted({*found, CHECKOUT / "pyproject.toml"})


def list_modules(files: list[Path]) -> Iterator[str]:
    """Yield the modules that the machine has to be able to import."""
    for path in files:
        if path.suffix == ".py":
            yield ".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__")
    import _pytest

    yield from ("pytest.__main__", "hypothesis")
    # pytest loads its own parts by name.
    yield from (f"_pytest.{path.stem}" for path in Path(_pytest.__file__).parent.glob("*.py"))


def build_system(interpreter: Interpreter, output: Path) -> None:
    """Write the archive that all machines share."""
    files = list_project_files()
    packages = [Path(entry) for entry in sys.path if entry.endswith("-packages")]
    tree = gather_system(interpreter, project=CHECKOUT, project_files=files, names=list_modules(files), libraries=packages)
    with output.open("wb") as archive:
        write_archive(tree, archive)


def find_kernel(version: str, arguments: argparse.Namespace, machine: str) -> Kernel:
    """Return the kernel to boot: the given one, or Debian's for clouds."""
    package = Path(arguments.kernel) if arguments.kernel else fetch_package(version, flavour="cloud", machine=machine, cache=arguments.cache)
    kernel = open_kernel(package, cache=arguments.cache, wanted=MACHINE_MODULES)
    require_machine(kernel.image, machine, path=str(package))
    return kernel


def render_settings_of(name: str, arguments: argparse.Namespace, *, patience: str) -> Settings:
    """Return what the first process of machine *name* is told."""
    machine = MACHINES[name]
    tests = arguments.tests or machine.tests
    command = ("/usr/bin/python3", "-m", "pytest", "-v", "-p", "no:cacheprovider", f"--junit-xml={REPORT}", *tests)
    environment = {"PYTHONPATH": f"/{LIBRARY_DIRECTORY}", "MINIDOCKER_TEST_PATIENCE": patience, "PYTHONDONTWRITEBYTECODE": "1"}
    return Settings(
        command=command, directory=f"/{PROJECT_DIRECTORY}", cgroup_version=machine.cgroup_version, result=REPORT,
        shell_on_failure=arguments.keep, environment=environment,
    )  # fmt: skip


def run_one(name: str, arguments: argparse.Namespace, interpreter: Interpreter, kernel: Kernel, system: Path) -> list[str]:
    """Run one machine; return what is wrong with it."""
    machine, accelerator = MACHINES[name], choose_accelerator(interpreter.machine)
    settings = render_settings_of(name, arguments, patience=EMULATION_PATIENCE if accelerator == "tcg" else "2")
    with tempfile.TemporaryDirectory(prefix="minidocker-vm-") as folder:
        initramfs, disk, result = Path(folder, "initramfs"), Path(folder, "disk"), Path(folder, "report.xml")
        shutil.copyfile(system, initramfs)
        with initramfs.open("ab") as archive:
            write_archive(render_extras(kernel.modules, settings), archive)
        disk.touch()
        os.truncate(disk, SCRATCH_DISK_BYTES)
        hardware = Hardware(
            machine=interpreter.machine, kernel=kernel.path, initramfs=initramfs, accelerator=accelerator, memory_mib=MEMORY_MIB,
            disks=(disk,), result=result,
        )  # fmt: skip
        limit_s = None if arguments.keep else machine.limit_s
        try:
            run_machine(
                render_command(find_qemu(interpreter.machine), hardware), limit_s=limit_s, show=lambda line: say(f"{name}: {line}"),
                interactive=arguments.keep,
            )  # fmt: skip
        except MinidockerError as error:
            return [str(error)]
        verdict = judge_report(result.read_bytes(), machine)
    if arguments.reports and verdict.report:
        Path(arguments.reports, f"report-vm-{name}.xml").write_bytes(verdict.report)
    say(f"{name}: {verdict.passed} passed on Linux {kernel.image.version.split(' ')[0]}, control groups v{machine.cgroup_version}")
    return list(verdict.problems)


def run_all(names: list[str], arguments: argparse.Namespace) -> int:
    """Run the machines, as many at once as there are processors for; return the exit status."""
    interpreter = find_interpreter(sys.executable)
    find_qemu(interpreter.machine)
    kernels = {version: find_kernel(version, arguments, interpreter.machine) for version in {MACHINES[name].kernel for name in names}}
    with tempfile.TemporaryDirectory(prefix="minidocker-vm-") as folder:
        system = Path(folder, "system")
        build_system(interpreter, system)
        with ThreadPoolExecutor(1 if arguments.keep else arguments.jobs) as pool:
            running = {name: pool.submit(run_one, name, arguments, interpreter, kernels[MACHINES[name].kernel], system) for name in names}
            problems = {name: future.result() for name, future in running.items()}
    for name, lines in problems.items():
        for line in lines:
            say(f"{name}: FAILED: {line}")
    return int(any(problems.values()))


def could_have_been_installed() -> bool:
    """Whether apt knows QEMU: on CI, a machine that could have it and does not is one that was not prepared."""
    if shutil.which("apt-cache") is None:
        return False
    command = ["apt-cache", "policy", "qemu-system-x86"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return "Candidate: " in answer.stdout and "Candidate: (none)" not in answer.stdout


def count_jobs() -> int:
    """Return how many machines run at once: as many as there are processors, if memory allows."""
    if not hasattr(os, "sched_getaffinity"):
        return 1
    fitting = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // (2 * MEMORY_MIB << 20)
    return max(1, min(len(os.sched_getaffinity(0)), len(MACHINES), fitting))


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """Return the command line, taken apart."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.vm", description=(__doc__ or "").partition("\n")[0])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "minidocker", "machine")
    parser.add_argument("machines", nargs="*", help=f"of {', '.join(MACHINES)}; all without")
    parser.add_argument("--keep", action="store_true", help="leave a shell on the console of a machine in which a test fails")
    parser.add_argument("--kernel", help="a kernel package (.deb) or kernel file to use for all, instead of Debian's")
    parser.add_argument("--cache", type=Path, default=cache, help="where kernels are kept")
    parser.add_argument("--jobs", type=int, default=count_jobs(), help="how many machines run at once")
    parser.add_argument("--reports", help="a directory for JUnit XML")
    parser.add_argument("--tests", action="append", help="run this file or test instead of the chosen ones; may be repeated")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Run what the command line says."""
    arguments = parse_arguments(words)
    try:
        return run_all(names_of(arguments.machines), arguments)
    except MinidockerError as error:
        say(f"tests.vm: {error}")
        if arguments.reports:
            Path(arguments.reports, LACKING).write_text(str(error), encoding="utf-8")
        return 1 if os.environ.get("CI") and "there is no `qemu" in str(error) and could_have_been_installed() else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
