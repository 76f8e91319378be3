"""Where a server keeps its things when nobody says otherwise.

Pure, and light: the client needs the socket's path before anything else. Root uses the system's directories, everybody
else the XDG ones, so that two people on one machine do not meet. Chapter 11.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["default_config_file", "default_data_root", "default_exec_root", "default_log_path", "default_pidfile", "default_socket"]


def default_socket(uid: int, environ: Mapping[str, str]) -> str:
    """Return the path of the socket on which the server of user *uid* listens."""
    return "/run/minidocker.sock" if uid == 0 else f"{_runtime_directory(uid, environ)}/minidocker.sock"


def default_pidfile(uid: int, environ: Mapping[str, str]) -> str:
    """Return the path of the file with the server's process id, beside its socket."""
    return default_socket(uid, environ).removesuffix(".sock") + ".pid"


def default_exec_root(uid: int, environ: Mapping[str, str]) -> str:
    """Return the directory for what need not survive a reboot; on tmpfs."""
    return "/run/minidocker" if uid == 0 else f"{_runtime_directory(uid, environ)}/minidocker"


def default_data_root(uid: int, environ: Mapping[str, str]) -> str:
    """Return the directory of images, containers and volumes."""
    if uid == 0:
        return "/var/lib/minidocker"
    return f"{environ.get('XDG_DATA_HOME') or environ.get('HOME', '') + '/.local/share'}/minidocker"


def default_config_file(uid: int, environ: Mapping[str, str]) -> str:
    """Return the file with the server's configuration; Docker's own, `/etc/docker/daemon.json`, is another server's."""
    if uid == 0:
        return "/etc/minidocker/daemon.json"
    return f"{environ.get('XDG_CONFIG_HOME') or environ.get('HOME', '') + '/.config'}/minidocker/daemon.json"


def default_log_path(uid: int, environ: Mapping[str, str]) -> str:
    """Return the file that a server started in the background writes to."""
    if uid == 0:
        return "/var/log/minidocker.log"
    return f"{environ.get('XDG_STATE_HOME') or environ.get('HOME', '') + '/.local/state'}/minidocker.log"


def _runtime_directory(uid: int, environ: Mapping[str, str]) -> str:
    has_home = environ.get("HOME") or environ.get("XDG_DATA_HOME")
    return environ.get("XDG_RUNTIME_DIR") or (f"{default_data_root(uid, environ)}/run" if has_home else f"/run/user/{uid}")
