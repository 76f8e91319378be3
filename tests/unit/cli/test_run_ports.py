"""`--publish` in all of its forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.cli.run_ports import read_exposed_ports, read_published_ports

FORMS = [
    ("80", [("80/tcp", "", "")]),
    ("8080:80", [("80/tcp", "", "8080")]),
    ("8080:80/udp", [("80/udp", "", "8080")]),
    ("80/SCTP", [("80/sctp", "", "")]),
    ("127.0.0.1:8080:80", [("80/tcp", "127.0.0.1", "8080")]),
    ("127.0.0.1::80", [("80/tcp", "127.0.0.1", "")]),
    ("[::1]:8080:80", [("80/tcp", "::1", "8080")]),
    ("::1:8080:80", [("80/tcp", "::1", "8080")]),
    ("8000-8001:80-81", [("80/tcp", "", "8000"), ("81/tcp", "", "8001")]),
    ("8000-8010:80", [("80/tcp", "", "8000-8010")]),
    ("published=8080,target=80,protocol=udp", [("80/udp", "", "8080")]),
]


@pytest.mark.parametrize(("text", "ports"), FORMS, ids=[text for text, _ in FORMS])
def test_published_port_is_read(text: str, ports: list[tuple[str, str, str]]) -> None:
    """The last two colons separate; what stands before them is an address."""
    assert read_published_ports(text) == ports


@pytest.mark.parametrize("text", ["", ":", "80:", "a:80", "80:80:80:80", "0-", "80-79", "70000", "8000-8002:80-81", "host:80:80", "80/icmp"])
def test_impossible_port_is_refused(text: str) -> None:
    """A port that cannot be is found before any container is made."""
    with pytest.raises(ValueError, match=r"invalid|no port"):
        read_published_ports(text)


@given(first=st.integers(1, 65000), host=st.integers(1, 65000), more=st.integers(0, 500), protocol=st.sampled_from(["tcp", "udp", "sctp"]))
def test_ranges_of_one_length_are_published_pairwise(first: int, host: int, more: int, protocol: str) -> None:
    """The n-th port of the container is reached at the n-th of the host."""
    text = f"{host}-{host + more}:{first}-{first + more}/{protocol}"
    expected = [(f"{first + n}/{protocol}", "", str(host + n)) for n in range(more + 1)]
    assert read_published_ports(text) == expected


def test_exposed_range_names_every_port() -> None:
    """`EXPOSE` has no ranges in the image, so the client spells them out."""
    assert read_exposed_ports("90-92/udp") == ["90/udp", "91/udp", "92/udp"]
