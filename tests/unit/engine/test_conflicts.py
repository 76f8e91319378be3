"""What `create` refuses: options of which only one can be meant, and what the machine lacks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from minidocker.container.host import Host
from minidocker.engine.conflicts import check_host_config, parse_cpu_list, parse_size
from minidocker.errors import InvalidParameter
from minidocker.spec.container import ContainerConfig, HostConfig, LogConfig, RestartPolicy

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

ENGINE = cast("Engine", SimpleNamespace(host=Host(cpus=2), config=SimpleNamespace(remaps=False)))
REMAPPED = cast("Engine", SimpleNamespace(host=Host(cpus=2), config=SimpleNamespace(remaps=True)))
PLAIN = HostConfig(runtime="runc", log_config=LogConfig(type="json-file"), restart_policy=RestartPolicy(name="no"))
SHARED = "container:other"


def host(**changes: object) -> HostConfig:
    """Return a plain configuration with *changes*."""
    return HostConfig(**({name: getattr(PLAIN, name) for name in ("runtime", "log_config", "restart_policy")} | changes))


REFUSED = {
    "hostname-of-the-host": (ContainerConfig(hostname="x"), host(uts_mode="host"), "hostname and the UTS mode"),
    "hostname-of-another": (ContainerConfig(hostname="x"), host(network_mode=SHARED), "hostname and the network mode"),
    "names-of-another": (ContainerConfig(), host(network_mode=SHARED, extra_hosts=("a:1.2.3.4",)), "custom host-to-IP mapping"),
    "ports-of-another": (ContainerConfig(), host(network_mode=SHARED, port_bindings={"80/tcp": ()}), "port publishing"),
    "capability": (ContainerConfig(), host(cap_add=("nosuch",)), 'invalid CapAdd: unknown capability: "CAP_NOSUCH"'),
    "cpu": (ContainerConfig(), host(cpuset_cpus="99"), "Requested CPUs are not available - requested 99, available: 0-1"),
    "cpu-list": (ContainerConfig(), host(cpuset_cpus="a-b"), "Invalid value a-b for cpuset cpus"),
    "memory-node": (ContainerConfig(), host(cpuset_mems="7"), "Requested memory nodes are not available"),
    "log-driver": (ContainerConfig(), host(log_config=LogConfig(type="syslog")), "error looking up logging plugin syslog"),
    "log-option": (ContainerConfig(), host(log_config=LogConfig(type="json-file", config={"x": "y"})), "unknown log opt 'x' for json-file log driver"),
    "log-size": (ContainerConfig(), host(log_config=LogConfig(type="local", config={"max-size": "big"})), "invalid size: 'big'"),
    "restart-with-rm": (ContainerConfig(), host(auto_remove=True, restart_policy=RestartPolicy(name="always")), "AutoRemove"),
    "restart-count": (ContainerConfig(), host(restart_policy=RestartPolicy(name="always", maximum_retry_count=3)), "maximum retry count"),
    "ipc": (ContainerConfig(), host(ipc_mode="bogus"), "invalid IPC mode: bogus"),
    "ipc-of-nobody": (ContainerConfig(), host(ipc_mode="container:"), "invalid IPC mode: container:"),
    "network-parameter-of-the-host": (ContainerConfig(), host(network_mode="host", sysctls={"net.ipv4.ip_forward": "1"}), "not allowed in host network namespace"),
    "ipc-parameter-of-the-host": (ContainerConfig(), host(ipc_mode="host", sysctls={"kernel.shmmax": "1"}), "is not allowed in the hosts ipc namespace"),
    "security": (ContainerConfig(), host(security_opt=("bogus",)), 'invalid --security-opt 1: "bogus"'),
    "security-word": (ContainerConfig(), host(security_opt=("no-new-privileges:true", "disable", "bogus=1")), 'invalid --security-opt 2: "bogus=1"'),
    "runtime": (ContainerConfig(), host(runtime="kata"), "unknown or invalid runtime name: kata"),
}


@pytest.mark.parametrize(("asked", "config", "words"), REFUSED.values(), ids=REFUSED)
def test_request_that_cannot_be_met_is_refused_in_dockers_words(asked: ContainerConfig, config: HostConfig, words: str) -> None:
    """Scripts look for these sentences, and people search the web for them."""
    with pytest.raises(InvalidParameter) as error:
        check_host_config(ENGINE, asked, config)
    assert words in error.value.message


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"privileged": True}, "privileged mode is incompatible with user namespaces"),
        ({"network_mode": "host"}, "cannot share the host's network namespace when user namespaces are enabled"),
        ({"pid_mode": "host"}, "cannot share the host PID namespace when user namespaces are enabled"),
    ],
)
def test_users_of_its_own_exclude_what_only_root_of_the_host_may_do(config: dict[str, object], words: str) -> None:
    """A root who is nobody outside has no power over the host's namespaces; `--userns=host` takes the host's users, and with them the power."""
    with pytest.raises(InvalidParameter) as error:
        check_host_config(REMAPPED, ContainerConfig(), host(**config))
    assert words in error.value.message
    check_host_config(REMAPPED, ContainerConfig(), host(**config, userns_mode="host"))
    check_host_config(ENGINE, ContainerConfig(), host(**config))


def test_plain_request_passes() -> None:
    """A refusal that refuses everything would pass the test above."""
    check_host_config(ENGINE, ContainerConfig(hostname="x"), host(cpuset_cpus="0-1", cap_add=("SYS_TIME", "cap_chown"), cap_drop=("all",)))


def test_lists_and_sizes_are_read_as_the_kernel_and_docker_write_them() -> None:
    """cpuset(7) has ranges; sizes count in 1024."""
    assert parse_cpu_list("0-2,5") == {0, 1, 2, 5}
    assert parse_cpu_list("") == frozenset()
    assert [parse_size(text) for text in ("", "10", "10b", "1k", "1kb", "10m", "1g")] == [0, 10, 10, 1024, 1024, 10 << 20, 1 << 30]
