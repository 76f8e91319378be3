"""minidocker: Docker, written to be read.

One package per concept of Docker, in the order in which to read them:

`errors`, `ids`     what can go wrong, and what things are called
`spec`              the values: image, container and host configuration
`codec`             bytes to values and back, without I/O
`kernel`            the one door to Linux, and the steps that make a container
`reference`         repository, tag, digest
`image`             layers, history, store, archive
`cgroup` `network` `volume` `container`  the run time
`engine`            composes them, one module per user verb
`api` `cli`         server and client

Imports point down this list only; `tests/architecture` holds the edges. Run it with `python3 -m minidocker`.
"""

VERSION = "28.0.0-minidocker.0.1"
"""What `docker version` shows for the server: the Docker release whose behaviour is implemented, then our own."""

API_VERSION = "1.50"
"""The newest Remote API version that is served."""

MIN_API_VERSION = "1.24"
"""The oldest Remote API version that is served."""
