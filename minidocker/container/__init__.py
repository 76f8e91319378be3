"""Containers: a life cycle, a plan, and the three processes that carry it out.

`record` says what is known about a container and which changes of state exist; `plan` turns a configuration into steps;
`launcher`, `monitor` and `init` are the processes (the server itself never forks):

    server (threads)  ──spawns once──▶  launcher (one thread, everything imported)
                                          └─fork─▶ monitor of container A ──fork─▶ init of A = the command
                                          └─fork─▶ monitor of container B ──fork─▶ init of B

A monitor outlives the server: it owns stdio, log and exit code, and listens on a socket in the container's directory
under the exec root, where the server that comes next finds it. Chapter 16.
"""
