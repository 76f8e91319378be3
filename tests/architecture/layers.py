"""The tables that hold the architecture: who may import whom, what is pure, and every exception with its reason."""

from __future__ import annotations

CONCEPTS = ("reference", "image", "builtin", "registry", "dockerfile", "build", "cgroup", "network", "volume", "container", "simulator")
"""Packages that explain one thing each; they are strangers to each other, save for the exceptions below."""

LEVELS: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "ids": frozenset({"errors"}),
    "fingerprint": frozenset(),
    "spec": frozenset({"errors", "ids"}),
    "codec": frozenset({"errors", "ids", "spec"}),
    "kernel": frozenset({"errors", "codec"}),
    **{
        concept: frozenset({"errors", "ids", "spec", "codec", "kernel"})
        for concept in CONCEPTS
    },
    "engine": frozenset({"errors", "ids", "spec", "codec", "kernel", *CONCEPTS}),
    "oci": frozenset({"errors", "ids", "spec", "codec", "kernel", "container", "cgroup"}),
    "api": frozenset({"fingerprint", "errors", "ids", "spec", "codec", "kernel", "engine", *CONCEPTS}),
    "client": frozenset({"errors", "spec", "codec"}),
    "cli": frozenset({"errors", "ids", "spec", "codec", "kernel", "fingerprint", "client"}),
    "tls": frozenset({"errors"}),
    "machine": frozenset({"errors", "ids", "spec", "codec", "kernel", "image", "builtin"}),
    "__main__": frozenset({"cli"}),
}
"""Package → packages that it may import, besides itself and the version in `minidocker`."""

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("container.monitor", "network"): "port proxy and name service must outlive the server, and only the monitor does",
    ("cli.daemon", "network"): "the server's flags about networks; a pure table",
    ("image", "reference"): "an image's names are references; the store is keyed by them",
    ("builtin", "image"): "a built-in image is made and stored like any other",
    ("builtin", "reference"): "it has a name",
    ("build", "dockerfile"): "a build is what a Dockerfile says: instructions are what goes in",
    ("cli.oci", "oci"): "the run time is this command: there is no server to ask",
    ("cli.oci", "container"): "signals by name; a pure table",
    ("cli.oci", "cgroup"): "the example differs by the trees that this machine has",
    ("cli.daemon", "api"): "the same executable is client and server; imported when it becomes the server",
    ("cli.daemon", "engine"): "the server's options and default places",
    ("cli.manifest", "registry"): "the client asks the registry itself, as Docker's does: the Remote API shows no manifest",
    ("cli.registry", "api"): "the same executable is a registry; imported when it becomes one",
    ("cli.registry", "registry"): "garbage collection works on the registry's files, without a server",
    ("cli.autostart", "engine"): "where a server started in the background puts its log; a pure table",
    ("client.endpoint", "engine"): "the default socket; a pure table",
    ("cli.machine", "machine"): "machines run beside the server, not in it",
    ("cli.machine", "tls"): "each gets certificates of its own",
    ("cli.machine_supervise", "machine"): "as above",
    ("cli.certificates", "tls"): "certificates are made without a server",
    ("cli.build_output", "build"): "what `-o` means; a pure table",
    ("cli.build_check", "dockerfile"): "`build --check` needs no server; the language is pure",
    ("client.build_context", "dockerfile"): "the client leaves out what `.dockerignore` says; the language is pure",
    ("cli.explain", "container"): "`run --dry-run` plans without a server; planning is pure",
    ("cli.explain", "cgroup"): "as above",
    ("cli.explain", "engine"): "as above: the endpoint's steps are pure",
    ("cli.simulate", "simulator"): "`run --simulate` needs no server: the simulator is pure",
    ("cli.simulate", "container"): "as above: users are looked up by the same rules",
}
"""(module or package, imported package) → why."""

PURE_PACKAGES = (
    "tls/der.py", "tls/ed25519.py", "tls/x509.py", "machine/cpio.py", "machine/kernel_image.py", "machine/modules.py", "machine/settings.py",
    "build/request.py", "build/stages.py", "build/state.py", "build/key.py", "build/mode.py", "build/progress.py",
    "client/fields.py", "client/frames.py", "client/progress.py", "codec/", "spec/", "errors.py", "ids.py", "reference/", "dockerfile/", "cgroup/limits.py", "cgroup/usage.py", "container/health.py", "oci/plan.py", "oci/example.py", "container/devices.py", "container/mounts.py", "container/plan.py", "container/record.py",
    "container/capabilities.py", "container/seccomp.py", "image/layer.py", "container/seccomp_profile.py", "container/user.py", "container/names.py",
    "kernel/steps.py", "kernel/flags.py", "kernel/explain.py", "kernel/shell.py", "registry/names.py", "registry/documents.py", "registry/protocol.py",
    "registry/endpoints.py", "registry/challenge.py", "registry/htpasswd.py", "registry/bcrypt.py", "network/bridge.py", "network/ipam.py", "network/iptables.py",
    "network/lookup.py", "network/names.py", "network/ports.py", "network/rules.py", "network/record.py", "network/settings.py",
    "network/wishes.py", "engine/config_changes.py", "engine/defaults.py", "engine/endpoint.py", "engine/options.py", "engine/packet_model.py", "engine/places.py", "simulator/",
)  # fmt: skip
"""Modules that touch nothing: values in, values out."""

IMPURE_MODULES = frozenset(
    {"os", "socket", "ssl", "subprocess", "ctypes", "time", "random", "threading", "shutil", "logging", "select", "fcntl", "signal"}
)
"""What a pure module must not import."""

BANS: dict[str, tuple[frozenset[str], str]] = {
    "ctypes": (frozenset({"kernel"}), "one door to the kernel"),
    "subprocess": (frozenset({"oci.hooks", "machine.boot", "machine.init", "machine.packages", "cli.autostart", "client.credentials", "engine.build_fetch", "engine.rootless"}), "no helper programs; the client starts the server and asks credential helpers, a git context git, a server without root has numbers mapped and packets carried by programs that may, a machine needs QEMU and apt, and its first process a second one"),
}
"""Module → who may import it, and why nobody else."""

WORLD_CALLS: dict[str, tuple[frozenset[str], str]] = {
    "print": (frozenset({"cli", "machine.init", "api.daemon", "api.registry", "__main__"}), "only the client, the server's own log lines and the console of a machine speak to people"),
    "sys.exit": (frozenset({"cli", "__main__"}), "a library raises"),
    "sys.argv": (frozenset({"cli", "__main__"}), "a library takes arguments"),
    "os.environ": (frozenset({"cli", "client.docker", "__main__"}), "a library takes arguments; a client of Docker's is set up by the environment"),
    "os._exit": (frozenset({"kernel.process"}), "one way out of a forked child"),
}
"""Name → where it may be used, and why."""

FORBIDDEN_NAMES = frozenset({"utils", "util", "helpers", "common", "misc"})
MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 60
LONG_FUNCTIONS: dict[str, str] = {
    "kernel.perform.perform_init_step": "one case for each step is the point",
    "kernel.explain.describe_step": "one case for each step is the point",
    "kernel.shell._init_lines": "one case for each step is the point",
    "simulator.perform.perform_step": "one case for each step is the point",
}
LONG_MODULES: dict[str, str] = {"kernel.steps": "one record for each step; a reader looks for all of them here"}
