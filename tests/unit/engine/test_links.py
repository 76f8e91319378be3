"""`--link`: what a container is told about another, in the environment."""

from __future__ import annotations

from minidocker.container.record import ContainerRecord
from minidocker.engine.links import compute_link_variables
from minidocker.spec.container import ContainerConfig, HostConfig


def test_variables_say_where_each_port_is_and_what_the_target_was_told() -> None:
    """Programs of 2014 look for `DB_PORT_5432_TCP_ADDR`; the lowest port is also the default one."""
    config = ContainerConfig(exposed_ports={"5432/tcp": {}, "53/udp": {}}, env=("PASSWORD=x", "PATH=/bin"))
    target = ContainerRecord(id="t", name="pg", created="", image_id="", config=config, host_config=HostConfig())
    assert list(compute_link_variables("web", "my-db", target, "172.17.0.3")) == [
        "MY_DB_PORT=udp://172.17.0.3:53",
        "MY_DB_PORT_53_UDP=udp://172.17.0.3:53", "MY_DB_PORT_53_UDP_ADDR=172.17.0.3", "MY_DB_PORT_53_UDP_PORT=53", "MY_DB_PORT_53_UDP_PROTO=udp",
        "MY_DB_PORT_5432_TCP=tcp://172.17.0.3:5432", "MY_DB_PORT_5432_TCP_ADDR=172.17.0.3", "MY_DB_PORT_5432_TCP_PORT=5432",
        "MY_DB_PORT_5432_TCP_PROTO=tcp", "MY_DB_NAME=/web/my-db", "MY_DB_ENV_PASSWORD=x",
    ]  # fmt: skip
