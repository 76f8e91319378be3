"""Which host to ask for a name."""

from __future__ import annotations

import pytest

from minidocker.errors import InvalidParameter
from minidocker.registry.endpoints import HUB_KEY, RegistryConfig, credential_key, is_insecure, plan_endpoints

CONFIG = RegistryConfig(mirrors=("https://mirror.example", "http://127.0.0.1:5001/prefix/"), insecure=("lab.example:5000", "10.1.0.0/16", "plain.example"))

PLANS = {
    "docker.io": ["https://mirror.example", "http://127.0.0.1:5001/prefix", "https://registry-1.docker.io"],
    "ghcr.io": ["https://ghcr.io"], "localhost:5000": ["https://localhost:5000", "http://localhost:5000"],
    "lab.example:5000": ["https://lab.example:5000", "http://lab.example:5000"], "[::1]:5000": ["https://[::1]:5000", "http://[::1]:5000"],
    "lab.example": ["https://lab.example"],
}  # fmt: skip


@pytest.mark.parametrize(("domain", "urls"), PLANS.items(), ids=PLANS)
def test_name_leads_to_addresses_in_order(domain: str, urls: list[str]) -> None:
    """Mirrors before Docker Hub, TLS before plain HTTP, and plain HTTP only where it is allowed."""
    assert [endpoint.url for endpoint in plan_endpoints(domain, CONFIG)] == urls


def test_push_goes_to_no_mirror() -> None:
    """A mirror is a copy: what is pushed must arrive at the original."""
    assert [endpoint.url for endpoint in plan_endpoints("docker.io", CONFIG, for_push=True)] == ["https://registry-1.docker.io"]


HOSTS = {
    "127.0.0.1": True, "127.9.9.9:5000": True, "localhost": True, "[::1]": True, "10.1.2.3:5000": True, "10.2.0.1": False,
    "plain.example": True, "plain.example:80": True, "lab.example:5001": False, "localhost.evil": False, "registry-1.docker.io": False,
}  # fmt: skip


@pytest.mark.parametrize(("host", "insecure"), HOSTS.items(), ids=HOSTS)
def test_host_is_insecure_only_if_somebody_said_so(host: str, insecure: bool) -> None:
    """The loopback is: nobody is in between. A name that begins like it is not."""
    assert is_insecure(host, CONFIG) is insecure
    assert all(endpoint.verify is not insecure for endpoint in plan_endpoints(host, CONFIG))


@pytest.mark.parametrize("mirror", ["ftp://x", "https://", "https://u:p@x", "https://x?q"])
def test_mirror_that_cannot_be_one_is_refused(mirror: str) -> None:
    """The server says so when it starts."""
    with pytest.raises(InvalidParameter, match="invalid mirror"):
        plan_endpoints("docker.io", RegistryConfig(mirrors=(mirror,)))


@pytest.mark.parametrize(("domain", "key"), [("docker.io", HUB_KEY), ("index.docker.io", HUB_KEY), ("ghcr.io", "ghcr.io"), ("a:5000", "a:5000")])
def test_credentials_of_docker_hub_lie_under_an_old_address(domain: str, key: str) -> None:
    """`config.json` has kept it since the first protocol."""
    assert credential_key(domain) == key
