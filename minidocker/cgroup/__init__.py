"""Control groups: what a container may use.

`layout` finds out where this machine keeps its control groups (v1, v2 or hybrid); `limits` turns Docker's resource options
into steps for that layout. Nothing here writes: `minidocker.kernel.perform` does, and the monitor removes. See cgroups(7)
and the kernel's `admin-guide/cgroup-v2.rst`. Chapter 17.
"""
