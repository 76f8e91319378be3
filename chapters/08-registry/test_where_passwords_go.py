"""Who may see the password for a registry: CVE-2026-33540."""

from __future__ import annotations

from collections.abc import Callable

MaySend = Callable[[str, str], bool]


def test_same_host_may_at_any_port(may_send_credentials: MaySend) -> None:
    """A registry and its token service on one machine."""
    assert may_send_credentials("https://registry.example.com", "https://registry.example.com/token")
    assert may_send_credentials("https://registry.example.com:5000", "https://registry.example.com:5001/token")


def test_neighbour_below_the_same_domain_may(may_send_credentials: MaySend) -> None:
    """Docker Hub, and registries whose tokens come from the site above."""
    assert may_send_credentials("https://registry-1.docker.io", "https://auth.docker.io/token")
    assert may_send_credentials("https://registry.example.com", "https://example.com/jwt/auth")


def test_stranger_may_not(may_send_credentials: MaySend) -> None:
    """Whoever can write the answer 401 would otherwise be sent the password."""
    assert not may_send_credentials("https://registry.example.com", "https://evil.org/token")
    assert not may_send_credentials("https://registry.example.com", "https://registry.example.com.evil.org/token")


def test_name_that_only_ends_alike_may_not(may_send_credentials: MaySend) -> None:
    """Anybody can buy a name that ends with yours."""
    assert not may_send_credentials("https://registry.example.com", "https://evilexample.com/token")


def test_whole_top_level_domain_is_no_neighbourhood(may_send_credentials: MaySend) -> None:
    """Above `example.com` there is only `com`, and that belongs to everybody; numbers are no names at all."""
    assert not may_send_credentials("https://example.com", "https://evil.com/token")
    assert not may_send_credentials("https://192.0.2.1", "https://7.0.2.1/token")


def test_password_never_leaves_tls(may_send_credentials: MaySend) -> None:
    """The same host in plain text is everybody in between. A registry without TLS has nothing to lose."""
    assert not may_send_credentials("https://registry.example.com", "http://registry.example.com/token")
    assert may_send_credentials("http://registry.example.com", "http://registry.example.com/token")
