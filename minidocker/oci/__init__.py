"""The OCI run time: `minidocker oci`, which podman, containerd and Kubernetes can use in place of runc.

The same steps that the server's launcher performs, for whoever brings a bundle: a directory with `config.json` and a root file system.
One invariant: between two commands nothing of ours runs. What is known of a container is in its state file; the container itself is
an init that waits at its gate, or the command.

Read `bundle` (what is asked for), `plan` (what that means in steps), `state`, `birth` (two processes meet), `verbs`. Chapter 16.
"""
