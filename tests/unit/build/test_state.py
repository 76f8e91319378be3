"""What instructions do to the state of a stage."""

from __future__ import annotations

import pytest

from minidocker.build.state import CopyFiles, RunCommand, StageState, Step, apply_instruction, begin_stage, parse_ports
from minidocker.dockerfile.mistake import DockerfileError
from minidocker.dockerfile.parser import parse_instruction
from minidocker.spec.container import ContainerConfig


def apply(*lines: str, state: StageState | None = None, given: dict[str, str | None] | None = None, **defaults: str) -> Step:
    """Return the last step of the instructions in *lines*."""
    step = Step(state=state or begin_stage(ContainerConfig(env=("PATH=/bin",))), text="")
    for line in lines:
        step = apply_instruction(parse_instruction(line), step.state, given=given or {}, defaults=defaults)
    return step


def run_environment(step: Step) -> dict[str, str]:
    """Return the environment of a RUN."""
    assert isinstance(step.operation, RunCommand)
    return dict(word.partition("=")[::2] for word in step.operation.env)


def test_one_instruction_sees_the_variables_from_before_it() -> None:
    """`ENV a=2 b=$a` uses the old a: a line is one moment."""
    assert apply("ENV a=1", "ENV a=2 b=$a").state.config.env == ("PATH=/bin", "a=2", "b=1")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("ENV X=env", "ARG X=arg", "RUN true"), "arg"),
        (("ARG X=arg", "ENV X=env", "RUN true"), "env"),
        (("ENV X=env", "ARG X", "RUN true"), "env"),
        (("ARG X=${Y:-none}", "RUN true"), "none"),
    ],
    ids=["ARG after ENV", "ENV after ARG", "ARG without a value", "default from an unset variable"],
)
def test_run_sees_whichever_of_arg_and_env_came_last(lines: tuple[str, ...], expected: str) -> None:
    """Precedence is by order, as in BuildKit, and an ARG that has no value anywhere takes nothing away."""
    assert run_environment(apply(*lines))["X"] == expected


def test_build_argument_wins_over_the_default_and_reaches_no_image() -> None:
    """What ARG sets is in the environment of RUN and in the history, never in the configuration."""
    step = apply("ARG X=default", "RUN true", given={"X": "given"})
    assert run_environment(step)["X"] == "given"
    assert step.text == "RUN |1 X=given /bin/sh -c true"
    assert step.state.config.env == ("PATH=/bin",)


def test_bare_arg_takes_the_value_from_before_the_first_stage() -> None:
    """A global ARG is not visible in a stage that does not ask for it."""
    assert "V" not in run_environment(apply("RUN true", V="1"))
    assert run_environment(apply("ARG V", "RUN true", V="1"))["V"] == "1"


def test_proxies_reach_run_but_neither_history_nor_key() -> None:
    """They belong to the machine that builds: another proxy must not change the image."""
    step = apply("RUN true", given={"HTTP_PROXY": "http://user:secret@proxy"})
    assert run_environment(step)["HTTP_PROXY"] == "http://user:secret@proxy"
    assert "proxy" not in step.text + step.said


def test_key_text_of_run_leaves_argument_values_to_their_own_part() -> None:
    """So that an explanation can say which argument changed."""
    one, two = apply("ARG X=1", "RUN a"), apply("ARG X=2", "RUN a")
    assert one.text != two.text
    assert one.said == two.said


@pytest.mark.parametrize(
    ("line", "argv"),
    [
        ("RUN echo  a", ("/bin/sh", "-c", "echo  a")),
        ('RUN ["echo", "$HOME"]', ("echo", "$HOME")),
        ("RUN <<EOF\necho a\necho b\nEOF", ("/bin/sh", "-c", "echo a\necho b\n")),
        ("RUN cat <<EOF\n$x\nEOF", ("/bin/sh", "-c", "cat <<EOF\n$x\nEOF")),
        ("RUN <<-X\n\ta\nX", ("/bin/sh", "-c", "a\n")),
    ],
    ids=["shell", "exec", "script", "heredoc for the shell", "tabs"],
)
def test_run_becomes_the_words_of_execve(line: str, argv: tuple[str, ...]) -> None:
    """The shell form is one argument; a lone heredoc is the script itself, any other is left to the shell."""
    step = apply(line)
    assert isinstance(step.operation, RunCommand)
    assert step.operation.argv == argv


def test_heredoc_with_a_shebang_is_the_program() -> None:
    """`#!` names another interpreter than the shell, so the text has to be a file."""
    step = apply("RUN <<EOF\n#!/usr/bin/python3\nprint(1)\nEOF")
    assert isinstance(step.operation, RunCommand)
    assert step.operation.argv == ("/dev/pipes/EOF",)
    assert step.operation.script == "#!/usr/bin/python3\nprint(1)\n"


@pytest.mark.parametrize(
    ("lines", "entrypoint", "cmd"),
    [
        (("ENTRYPOINT e",), ("/bin/sh", "-c", "e"), None),
        (("CMD c", 'ENTRYPOINT ["e"]'), ("e",), ("/bin/sh", "-c", "c")),
        (('SHELL ["/bin/bash", "-lc"]', "CMD c"), ("base",), ("/bin/bash", "-lc", "c")),
    ],
    ids=["ENTRYPOINT clears an inherited CMD", "but not one of this stage", "SHELL runs the shell form"],
)
def test_command_and_entrypoint_follow_their_rules(
    lines: tuple[str, ...], entrypoint: tuple[str, ...], cmd: tuple[str, ...] | None
) -> None:
    """An inherited CMD was meant for the inherited entrypoint."""
    base = begin_stage(ContainerConfig(entrypoint=("base",), cmd=("inherited",)))
    config = apply(*lines, state=base).state.config
    assert (config.entrypoint, config.cmd) == (entrypoint, cmd)


def test_relative_workdir_continues_the_last_one() -> None:
    """And `..` ends at the root."""
    assert apply("WORKDIR /a", "WORKDIR b", "WORKDIR ../c").state.config.working_dir == "/a/c"
    assert apply("WORKDIR ../../x").state.config.working_dir == "/x"


@pytest.mark.parametrize(
    ("destination", "expected"), [("x", "/w/x"), ("x/", "/w/x/"), (".", "/w/"), ("/", "/"), ("../y", "/y"), ("./", "/w/")]
)
def test_copy_destination_is_absolute_and_keeps_its_slash(destination: str, expected: str) -> None:
    """A `/` at the end, and `.`, say that it is a directory."""
    step = apply("WORKDIR /w", f"COPY a {destination}")
    assert isinstance(step.operation, CopyFiles)
    assert step.operation.destination == expected


def test_several_sources_need_a_directory() -> None:
    """Otherwise the second file would replace the first."""
    with pytest.raises(DockerfileError, match="must be a directory and end with a /"):
        apply("COPY a b /c")


def test_ports_are_sorted_and_ranges_are_all_of_their_ports() -> None:
    """Docker keeps each port with its protocol."""
    assert parse_ports(("8080", "53/UDP", "90-91")) == ("53/udp", "8080/tcp", "90/tcp", "91/tcp")
    for bad in ("0", "70000", "9-8", "80/icmp", "1.2.3.4:80", "http"):
        with pytest.raises(DockerfileError):
            parse_ports((bad,))


def test_trigger_of_the_base_is_not_inherited() -> None:
    """ONBUILD speaks to the next build, not to all that follow."""
    assert begin_stage(ContainerConfig(on_build=("RUN true",))).config.on_build == ()
    assert apply("ONBUILD RUN a", "ONBUILD RUN b").state.config.on_build == ("RUN a", "RUN b")


def test_stage_without_path_gets_one() -> None:
    """FROM scratch has no environment, and RUN needs to find its shell's commands."""
    assert begin_stage(ContainerConfig()).config.env[0].startswith("PATH=/usr/local/sbin:")
