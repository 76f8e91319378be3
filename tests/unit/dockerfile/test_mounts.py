"""`RUN --mount` becomes a record."""

from __future__ import annotations

import pytest

from minidocker.dockerfile.instructions import Mount, MountType, Run, Sharing, ShellForm
from minidocker.dockerfile.mistake import DockerfileError
from minidocker.dockerfile.mounts import check_mount, mount_source, parse_mounts


def _parse(text: str, **environment: str) -> Mount:
    return parse_mounts(Run(command=ShellForm(line=""), mounts=(text,)), environment)[0]


MOUNTS = [
    ("target=/src", Mount(target="/src")),
    ("type=bind,from=a,source=b,dst=c,rw", Mount(target="c", from_="a", source="b", read_only=False)),
    ("type=cache,target=/c/", Mount(type=MountType.CACHE, target="/c/", id="/c", read_only=False)),
    (
        "TYPE=Cache,id=x,target=/c,sharing=LOCKED,mode=0700,uid=1,gid=2,ro",
        Mount(type=MountType.CACHE, target="/c", id="x", sharing=Sharing.LOCKED, mode=0o700, uid=1, gid=2),
    ),
    ("type=tmpfs,target=/t,size=64m", Mount(type=MountType.TMPFS, target="/t", size_bytes=64 << 20, read_only=False)),
    ("type=secret,id=key", Mount(type=MountType.SECRET, id="key")),
    ("type=secret,target=/root/.netrc,required", Mount(type=MountType.SECRET, id=".netrc", target="/root/.netrc", required=True)),
    ("type=secret,src=key,env=KEY", Mount(type=MountType.SECRET, id="key", source="key", env="KEY")),
    ("type=ssh", Mount(type=MountType.SSH, id="default")),
    ('type=bind,"source=a,b",target=/c', Mount(source="a,b", target="/c")),
]


@pytest.mark.parametrize(("text", "expected"), MOUNTS, ids=[text for text, _ in MOUNTS])
def test_mount_is_parsed(text: str, expected: Mount) -> None:
    """A bind is read-only and a cache is not; names of secrets and caches come from their places."""
    assert _parse(text) == expected
    check_mount(text)


MISTAKES = [
    ("type=bnd,target=/a", 'unsupported mount type "bnd" (did you mean bind?)'),
    ("trget=/a", "unexpected key 'trget' in 'trget=/a' (did you mean target?)"),
    ("target", "invalid field 'target' must be a key=value pair"),
    ("type=cache,target=/a,sharing=lockd", 'unsupported sharing value "lockd" (did you mean locked?)'),
    ("type=bind,sharing=locked,target=/a", "invalid cache sharing set for bind mount"),
    ("type=secret,id=a,sharing=locked", "secret mount should not define sharing"),
    ("type=secret", "invalid secret mount. one of source, target required"),
    ("type=secret,id=a,source=b", "both source and id can't be set"),
    ("type=secret,id=a,from=b", "secret mount should not have a from"),
    ("type=ssh,source=a", "ssh does not support source"),
    ("type=bind,target=/a,mode=0700", 'mode not allowed for "bind" type mounts'),
    ("type=cache,target=/a,mode=9", "invalid value 9 for mode"),
    ("type=cache,target=/a,uid=-1", "invalid value -1 for uid"),
    ("type=bind,target=/a,size=1m", "unexpected key 'size' for mount type 'bind'"),
    ("type=tmpfs,target=/a,size=x", "invalid value for size: x"),
    ("type=bind,target=/a,ro=maybe", "invalid value for ro: maybe"),
    ("type=bind,target=/a,required", "unexpected key 'required' for mount type 'bind'"),
    ("type=cache,target=/a/..", 'invalid mount target "/a/.."'),
    ('type=cache,target="/a', 'failed to parse csv mounts: bare or unclosed quote in "type=cache,target=\\"/a"'),
    ("from=$x,target=/a", "'from' doesn't support variable expansion, define alias stage instead"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[text for text, _ in MISTAKES])
def test_mount_that_means_nothing_is_refused(text: str, message: str) -> None:
    """Before anything is built, because nothing in it depends on a variable."""
    with pytest.raises(DockerfileError) as caught:
        check_mount(text)
    assert str(caught.value) == message


def test_values_are_expanded_but_not_from() -> None:
    """Which stages a build needs must be known before anything runs."""
    assert _parse("type=$kind,target=/$where,id=${id:-x}", kind="cache", where="a b").target == "/a b"
    assert mount_source("type=bind,from=base,target=$x") == "base"
    with pytest.raises(DockerfileError, match="unsupported mount type"):
        _parse("type=$kind,target=/a", kind="nothing")
    check_mount("type=$kind,target=/a")
