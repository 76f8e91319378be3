"""The stages of a Dockerfile as a graph: which one stands on which, which ones the target needs.

Pure. A stage needs the stage that its FROM names, those of its `COPY --from`, and those of its `RUN --mount=from`. All of
them stand above it, so the graph has no circles and `plan_stages` reads it in one pass. What the target does not need is never
built; what two stages do not need of each other is built side by side. See the Dockerfile reference, "FROM". Chapter 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from minidocker.dockerfile.expand import expand_instruction, expand_word
from minidocker.dockerfile.instructions import Copy, Dockerfile, Instruction, Run, Stage
from minidocker.dockerfile.mistake import DockerfileError, find_suggestion, locate
from minidocker.dockerfile.mounts import mount_source
from minidocker.errors import InvalidParameter

__all__ = ["SCRATCH", "StageNode", "compute_global_arguments", "find_source", "find_target", "plan_stages", "required_stages", "sources_of"]

SCRATCH: Final = "scratch"
"""The image that is nothing: no layers, no configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageNode:
    """One stage in its place."""

    index: int
    stage: Stage
    """Its FROM is expanded."""
    parent: int | None
    """The stage that it continues; None: an image."""
    needs: frozenset[int]
    """Every stage that it reads from."""

    @property
    def title(self) -> str:
        """What people call it."""
        return self.stage.name or f"stage-{self.index}"


def compute_global_arguments(file: Dockerfile, given: Mapping[str, str | None], platforms: Mapping[str, str]) -> dict[str, str]:
    """Return what FROM lines see: the ARGs before the first FROM, in order, over the platforms."""
    scope = dict(platforms)
    for argument in file.arguments:
        for pair in argument.pairs:
            value = given.get(pair.name)
            if value is None and pair.value is not None:
                value = expand_word(pair.value, scope, file.directives.escape)
            if value is not None:
                scope[pair.name] = value
    return scope


def plan_stages(file: Dockerfile, arguments: Mapping[str, str], contexts: Sequence[str] = ()) -> tuple[StageNode, ...]:
    """Return the stages in their order, each with what it needs; *contexts* are names that mean no stage.

    Raises:
        DockerfileError: FROM without a name, or a stage that reads from itself or from one below it.
    """
    nodes: list[StageNode] = []
    names = [stage.name for stage in file.stages]
    for index, stage in enumerate(file.stages):
        try:
            base = expand_instruction(stage.base, arguments, file.directives.escape)
            if not base.image:
                raise DockerfileError(f"base name ({stage.base.image}) should not be blank", culprit=stage.base.image)
            parent = None if base.image in contexts else find_stage(base.image, names[:index])
        except DockerfileError as error:
            raise locate(error, stage.base.span, file.lines) from None
        needs = {parent} - {None}
        for instruction in stage.instructions:
            try:
                needs |= {find_source(name, names, index, contexts) for name in sources_of(instruction)}
            except DockerfileError as error:
                raise locate(error, instruction.span, file.lines) from None
        nodes.append(
            StageNode(index=index, stage=replace(stage, base=base), parent=parent, needs=frozenset(n for n in needs if n is not None))
        )
    return tuple(nodes)


def find_stage(name: str, above: Sequence[str]) -> int | None:
    """Return the stage called *name* among those above; of two with one name the later."""
    wanted = name.lower()
    return next((index for index in reversed(range(len(above))) if above[index] and above[index] == wanted), None)


def find_source(name: str, names: Sequence[str], index: int, contexts: Sequence[str] = ()) -> int | None:
    """Return the stage that `--from=NAME` in stage *index* means; None: an image or a named context.

    Raises:
        DockerfileError: it is a number or a name of a stage that is not above.
    """
    if name in contexts or not name:
        return None
    found = find_stage(name, names[:index])
    if found is not None:
        return found
    if name.isascii() and name.isdigit():
        if int(name) < index:
            return int(name)
        raise DockerfileError(f"invalid from flag value {name}: there is no stage {name} above stage {index}", culprit=f"--from={name}")
    if name.lower() in names[index:]:
        problem = "the stage itself" if names[index] == name.lower() else "a stage that comes later"
        raise DockerfileError(f"invalid from flag value {name}: refers to {problem}", culprit=f"--from={name}")
    return None


def sources_of(instruction: Instruction) -> tuple[str, ...]:
    """Return what an instruction reads from, apart from the build context."""
    if isinstance(instruction, Copy):
        return (instruction.from_,) if instruction.from_ else ()
    if isinstance(instruction, Run):
        return tuple(source for source in map(mount_source, instruction.mounts) if source)
    return ()


def find_target(nodes: Sequence[StageNode], target: str) -> StageNode:
    """Return the stage that `--target` names, by name or number; without one the last.

    Raises:
        InvalidParameter: there is no such stage.
    """
    if not target:
        return nodes[-1]
    for node in reversed(nodes):
        if node.stage.name == target.lower():
            return node
    if target.isascii() and target.isdigit() and int(target) < len(nodes):
        return nodes[int(target)]
    hint = find_suggestion(target, [node.stage.name for node in nodes if node.stage.name])
    raise InvalidParameter(f"failed to reach build target {target} in Dockerfile", hint=hint)


def required_stages(nodes: Sequence[StageNode], target: int) -> tuple[int, ...]:
    """Return the stages that *target* needs, itself included, in their order."""
    wanted, found = [target], set[int]()
    while wanted:
        index = wanted.pop()
        if index not in found:
            found.add(index)
            wanted.extend(nodes[index].needs)
    return tuple(sorted(found))
