"""Changes to the configuration of an image that is committed or imported."""

from __future__ import annotations

import pytest

from minidocker.engine.config_changes import apply_changes
from minidocker.errors import InvalidParameter
from minidocker.spec.container import ContainerConfig, HealthConfig

CHANGES = [
    ('CMD ["sh", "-c", "x"]', ContainerConfig(cmd=("sh", "-c", "x"))),
    ("CMD echo hi", ContainerConfig(cmd=("/bin/sh", "-c", "echo hi"))),
    ('ENTRYPOINT ["/init"]', ContainerConfig(entrypoint=("/init",))),
    ('ENV A=1 B="two words"', ContainerConfig(env=("A=1", "B=two words"))),
    ("ENV A old form", ContainerConfig(env=("A=old form",))),
    ("EXPOSE 80 53/udp", ContainerConfig(exposed_ports={"80/tcp": {}, "53/udp": {}})),
    ("LABEL a=b", ContainerConfig(labels={"a": "b"})),
    ("USER 1000:1000", ContainerConfig(user="1000:1000")),
    ('VOLUME ["/data"]', ContainerConfig(volumes={"/data": {}})),
    ("volume /a /b", ContainerConfig(volumes={"/a": {}, "/b": {}})),
    ("WORKDIR /srv/../app", ContainerConfig(working_dir="/app")),
    ("STOPSIGNAL SIGINT", ContainerConfig(stop_signal="SIGINT")),
    ("ENV A=1 B=$A", ContainerConfig(env=("A=1", "B="))),
    ("HEALTHCHECK NONE", ContainerConfig(healthcheck=HealthConfig(test=("NONE",)))),
    ("LABEL a=b \\\n c=d", ContainerConfig(labels={"a": "b", "c": "d"})),
    ("ONBUILD RUN x", ContainerConfig(on_build=("RUN x",))),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES, ids=[change for change, _ in CHANGES])
def test_change_is_an_instruction_of_a_dockerfile(change: str, expected: ContainerConfig) -> None:
    """`docker import --change` takes those that only touch the configuration."""
    assert apply_changes(ContainerConfig(), [change]) == expected


def test_later_change_of_the_same_variable_wins() -> None:
    """A variable has one value; WORKDIR adds up instead."""
    changed = apply_changes(ContainerConfig(), ["ENV A=1", "ENV A=2", "WORKDIR /a", "WORKDIR b"])
    assert (changed.env, changed.working_dir) == (("A=2",), "/a/b")


@pytest.mark.parametrize("change", ["RUN x", "FROM a", "EXPOSE no", "EXPOSE 70000", "ENV", "ENV =1", 'LABEL a="'])
def test_change_that_cannot_be_one_is_refused(change: str) -> None:
    """An image that silently lacks what was asked for fails later and elsewhere."""
    with pytest.raises(InvalidParameter):
        apply_changes(ContainerConfig(), [change])
