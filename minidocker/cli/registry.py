"""`registry serve` and `registry gc`: a registry of one's own. Acts. Chapter 8."""

from __future__ import annotations

import sys

from minidocker.cli.command import Command
from minidocker.cli.flags import BOOL, DURATION, LIST, STRING, Flag
from minidocker.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session

__all__ = ["REGISTRY_GC", "REGISTRY_SERVE"]

DEFAULT_LISTEN = "127.0.0.1:5000"
GRACE_NS = 3600 * 10**9


def serve(session: Session, options: Options) -> int:
    """Serve a registry until told to end."""
    from minidocker.api.registry import RegistryOptions, serve_registry

    return serve_registry(
        RegistryOptions(
            listen=tuple(options.texts("listen")) or (DEFAULT_LISTEN,), root=_require_root(options),
            tls_cert=options.text("tlscert"), tls_key=options.text("tlskey"), htpasswd=options.text("htpasswd"),
            delete=options.switch("delete"), read_only=options.switch("read-only"),
        )
    )  # fmt: skip


def collect(session: Session, options: Options) -> int:
    """Remove what no manifest of a registry needs; its server may go on."""
    from pathlib import Path

    from minidocker.cli.units import render_size
    from minidocker.registry.collection import collect_garbage
    from minidocker.registry.storage import Storage

    root = Path(_require_root(options))
    if not (root / "repositories").is_dir():
        raise InvalidParameter(f"collect garbage: `{root}` is no registry", hint="--root names the directory of `registry serve`")
    found = collect_garbage(
        Storage(root), grace_s=options.number("min-age") / 1e9, delete_untagged=options.switch("delete-untagged"),
        dry_run=options.switch("dry-run"),
    )  # fmt: skip
    for manifest in found.manifests:
        print(f"manifest without a tag: {manifest}")
    for blob in found.blobs:
        print(f"blob: {blob}")
    verb = "could be" if options.switch("dry-run") else "were"
    print(f"{render_size(found.freed_bytes)} {verb} freed", file=sys.stderr)
    return 0


def _require_root(options: Options) -> str:
    if not options.text("root"):
        raise InvalidParameter("registry: which directory?", hint="--root DIR names the one that holds the images")
    return options.text("root")


_ROOT = Flag("root", STRING, "Directory that holds the registry")
REGISTRY_SERVE = Command(
    "[OPTIONS]",
    serve,
    (
        Flag("delete", BOOL, "Let clients delete tags, manifests and blobs"),
        Flag("htpasswd", STRING, "File of names and passwords, as htpasswd(1) writes it"),
        Flag("listen", LIST, "Address to listen on: HOST:PORT (default 127.0.0.1:5000) or unix://PATH"),
        Flag("read-only", BOOL, "Accept no push and no deletion"),
        _ROOT,
        Flag("tlscert", STRING, "Path to the TLS certificate file"),
        Flag("tlskey", STRING, "Path to the TLS key file"),
    ),
    maximum=0,
)
REGISTRY_GC = Command(
    "[OPTIONS]",
    collect,
    (
        Flag("delete-untagged", BOOL, "Remove manifests that no tag leads to, too"),
        Flag("dry-run", BOOL, "Only say what would go"),
        Flag("min-age", DURATION, "Keep blobs that are younger than this (default 1h)", default=GRACE_NS),
        _ROOT,
    ),
    maximum=0,
)
