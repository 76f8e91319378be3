"""The table of commands: words → module and object, so that only what is called is imported.

Pure. One row per command: module in `minidocker.cli`, its `Command`, a summary, and the spellings; the first spelling
is the one of the management command. `minidocker --help` is made from this table alone. Chapter 14.
"""

from __future__ import annotations

__all__ = ["ENTRIES", "GROUPS", "Entry", "find_entry"]


class Entry:
    """Where a command lives and what it is called."""

    __slots__ = ("attribute", "module", "spellings", "summary")

    def __init__(self, module: str, attribute: str, summary: str, *spellings: str) -> None:
        """Name the module in `minidocker.cli` and the `Command` in it."""
        self.module = module
        self.attribute = attribute
        self.summary = summary
        self.spellings = spellings


GROUPS = {
    "builder": "Manage builds",
    "container": "Manage containers",
    "image": "Manage images",
    "machine": "Run the server in a small Linux machine",
    "manifest": "Manage image manifests and manifest lists",
    "network": "Manage networks",
    "registry": "Serve a registry of one's own",
    "system": "Manage the engine",
    "tls": "Make certificates for servers and clients",
    "volume": "Manage volumes",
}
"""First words that stand for a kind of thing; a second word says what to do with it."""

ENTRIES = (
    Entry("run", "RUN", "Create and run a new container from an image", "container run", "run"),
    Entry("execute", "EXEC", "Execute a command in a running container", "container exec", "exec"),
    Entry("build", "BUILD", "Build an image from a Dockerfile", "image build", "build", "builder build"),
    Entry("containers", "PS", "List containers", "container ls", "container list", "container ps", "ps"),
    Entry("pull", "PULL", "Download an image from a registry", "image pull", "pull"),
    Entry("push", "PUSH", "Upload an image to a registry", "image push", "push"),
    Entry("images", "IMAGES", "List images", "image ls", "image list", "images"),
    Entry("login", "LOGIN", "Authenticate to a registry", "login"),
    Entry("login", "LOGOUT", "Log out from a registry", "logout"),
    Entry("push", "SEARCH", "Search Docker Hub for images", "search"),
    Entry("system", "VERSION_COMMAND", "Show the version of client and server", "version"),
    Entry("system", "INFO", "Display system-wide information", "system info", "info"),
    Entry("attach", "ATTACH", "Attach local standard input, output, and error streams to a running container", "container attach", "attach"),
    Entry("run", "CREATE", "Create a new container", "container create", "create"),
    Entry("commit", "COMMIT", "Create a new image from a container's changes", "container commit", "commit"),
    Entry("commit", "DIFF", "Inspect changes to files or directories on a container's filesystem", "container diff", "diff"),
    Entry("copy", "CP", "Copy files/folders between a container and the local filesystem", "container cp", "cp"),
    Entry("explain", "EXPLAIN", "Show the steps that make a container, and why", "container explain", "explain"),
    Entry("disk", "SYSTEM_DF", "Show disk usage of the server", "system df"),
    Entry("disk", "SYSTEM_PRUNE", "Remove unused data", "system prune"),
    Entry("events", "EVENTS", "Get real time events from the server", "system events", "events"),
    Entry("archives", "EXPORT", "Export a container's filesystem as a tar archive", "container export", "export"),
    Entry("images", "HISTORY", "Show the history of an image", "image history", "history"),
    Entry("archives", "IMPORT", "Import the contents from a tarball to create a filesystem image", "image import", "import"),
    Entry("inspect", "INSPECT", "Return low-level information on Docker objects", "inspect"),
    Entry("lifecycle", "KILL", "Kill one or more running containers", "container kill", "kill"),
    Entry("archives", "LOAD", "Load an image from a tar archive or STDIN", "image load", "load"),
    Entry("logs", "LOGS", "Fetch the logs of a container", "container logs", "logs"),
    Entry("lifecycle", "PAUSE", "Pause all processes within one or more containers", "container pause", "pause"),
    Entry("details", "PORT", "List port mappings or a specific mapping for the container", "container port", "port"),
    Entry("lifecycle", "RENAME", "Rename a container", "container rename", "rename"),
    Entry("lifecycle", "RESTART", "Restart one or more containers", "container restart", "restart"),
    Entry("lifecycle", "RM", "Remove one or more containers", "container rm", "container remove", "rm"),
    Entry("images", "RMI", "Remove one or more images", "image rm", "image remove", "rmi"),
    Entry("archives", "SAVE", "Save one or more images to a tar archive (streamed to STDOUT by default)", "image save", "save"),
    Entry("attach", "START", "Start one or more stopped containers", "container start", "start"),
    Entry("stats", "STATS", "Display a live stream of container(s) resource usage statistics", "container stats", "stats"),
    Entry("lifecycle", "STOP", "Stop one or more running containers", "container stop", "stop"),
    Entry("images", "TAG", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE", "image tag", "tag"),
    Entry("details", "TOP", "Display the running processes of a container", "container top", "top"),
    Entry("lifecycle", "UNPAUSE", "Unpause all processes within one or more containers", "container unpause", "unpause"),
    Entry("update", "UPDATE", "Update configuration of one or more containers", "container update", "update"),
    Entry("lifecycle", "WAIT", "Block until one or more containers stop, then print their exit codes", "container wait", "wait"),
    Entry("image_tree", "TREE", "Show the layers of an image: what each adds, changes, hides and wastes", "image tree"),
    Entry("inspect", "CONTAINER_INSPECT", "Display detailed information on one or more containers", "container inspect"),
    Entry("inspect", "IMAGE_INSPECT", "Display detailed information on one or more images", "image inspect"),
    Entry("inspect", "VOLUME_INSPECT", "Display detailed information on one or more volumes", "volume inspect"),
    Entry("inspect", "NETWORK_INSPECT", "Display detailed information on one or more networks", "network inspect"),
    Entry("build", "BUILDER_PRUNE", "Remove build cache", "builder prune"),
    Entry("prune", "CONTAINER_PRUNE", "Remove all stopped containers", "container prune"),
    Entry("prune", "IMAGE_PRUNE", "Remove unused images", "image prune"),
    Entry("prune", "NETWORK_PRUNE", "Remove all unused networks", "network prune"),
    Entry("prune", "VOLUME_PRUNE", "Remove unused local volumes", "volume prune"),
    Entry("volumes", "VOLUME_LS", "List volumes", "volume ls", "volume list"),
    Entry("volumes", "VOLUME_CREATE", "Create a volume", "volume create"),
    Entry("volumes", "VOLUME_RM", "Remove one or more volumes", "volume rm", "volume remove"),
    Entry("manifest", "MANIFEST_INSPECT", "Display an image manifest, or manifest list", "manifest inspect"),
    Entry("networks", "NETWORK_LS", "List networks", "network ls", "network list"),
    Entry("networks", "NETWORK_CREATE", "Create a network", "network create"),
    Entry("networks", "NETWORK_RM", "Remove one or more networks", "network rm", "network remove"),
    Entry("networks", "NETWORK_CONNECT", "Connect a container to a network", "network connect"),
    Entry("networks", "NETWORK_DISCONNECT", "Disconnect a container from a network", "network disconnect"),
    Entry("networks", "NETWORK_RULES", "Print the rules of the packet filter", "network rules"),
    Entry("networks", "NETWORK_TRACE", "Follow one packet through bridges and rules, without sending it", "network trace"),
    Entry("oci", "OCI", "Run a bundle as runc does, without a server", "oci"),
    Entry("daemon", "DAEMON", "Start or stop the server", "daemon"),
    Entry("registry", "REGISTRY_SERVE", "Serve a registry", "registry serve"),
    Entry("registry", "REGISTRY_GC", "Remove what no manifest of a registry needs", "registry gc"),
    Entry("machine", "CREATE", "Put a machine together", "machine create"),
    Entry("machine", "START", "Start a machine, and wait until its server answers", "machine start"),
    Entry("machine", "STOP", "Switch a machine off", "machine stop"),
    Entry("machine", "SHELL", "Open a shell on a machine's console", "machine shell"),
    Entry("machine", "ENV", "Print what a shell needs to use a machine's server", "machine env"),
    Entry("machine", "INSPECT", "Say what a machine is, as JSON", "machine inspect"),
    Entry("machine", "LS", "List machines", "machine ls", "machine list"),
    Entry("machine", "RM", "Remove machines and their disks", "machine rm", "machine remove"),
    Entry("certificates", "TLS_INIT", "Make certificates for a server on TCP and its clients", "tls init"),
    Entry("doctor", "DOCTOR", "Say what this machine offers for containers, and what it lacks", "doctor"),
)  # fmt: skip
"""Every command, the common ones first."""


def find_entry(name: str) -> Entry | None:
    """Return the command that is spelled *name* (`run`, `container ls`)."""
    for entry in ENTRIES:
        if name in entry.spellings:
            return entry
    return None
