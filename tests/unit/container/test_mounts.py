"""What `-v`, `--tmpfs` and `--mount` mean, before anybody looks at the disk."""

from __future__ import annotations

import pytest

from minidocker.container.mounts import parse_bind, parse_mount_request, parse_tmpfs
from minidocker.errors import InvalidParameter
from minidocker.spec.container import MountRequest, TmpfsOptions, VolumeOptions


def test_absolute_source_is_a_bind_and_another_a_volume() -> None:
    """One flag, two meanings; a destination alone is a volume without a name."""
    assert [parse_bind(spec).type for spec in ("/h:/c", "name:/c", "/c")] == ["bind", "volume", "volume"]
    assert parse_bind("/h:/c:ro").read_write is False
    assert parse_bind("/h:/c:rshared").propagation == "rshared"


@pytest.mark.parametrize("spec", ["/h:/c:bogus", "/h:/c:ro,rw", "/h:rel", "a:b:c:d", "/h:/"], ids=str)
def test_malformed_bind_is_refused(spec: str) -> None:
    """A mode that nobody knows, a relative destination, the root itself."""
    with pytest.raises(InvalidParameter):
        parse_bind(spec)


def test_tmpfs_keeps_what_the_file_system_understands() -> None:
    """Flags that the engine sets anyway are not handed to the file system, which would refuse them."""
    mount = parse_tmpfs("/t", "ro,size=1m,mode=700,noexec")
    assert (mount.options, mount.read_write) == ("size=1m,mode=700", False)


def test_mount_request_says_what_kind_it_is() -> None:
    """`--mount` is explicit where `-v` guesses; a type that does not exist is an error."""
    assert parse_mount_request(MountRequest(type="tmpfs", target="/t", tmpfs_options=TmpfsOptions(size_bytes=9, mode=0o700))).options == "size=9,mode=700"
    assert parse_mount_request(MountRequest(type="volume", source="v", target="/v", volume_options=VolumeOptions(subpath="a"))).subpath == "a"
    for bad in (MountRequest(type="soul", target="/x"), MountRequest(type="volume", source="v", target="/v", volume_options=VolumeOptions(subpath="../x"))):
        with pytest.raises(InvalidParameter):
            parse_mount_request(bad)
