"""The one door to Linux: every system call goes through here, and nowhere else is `ctypes` imported.

The package has two halves. The lower half wraps the kernel: `flags` (the bits, as the headers name them), `libc` (the
function table and the one error check), then one module per subject: `mount`, `namespaces`, `process`, `files`,
`capabilities`, `seccomp`, `netlink`, `terminal`. The upper half is what a container is made of: `steps` (pure data),
`perform` (the kernel performs a step) and `explain` (a person reads it).

Rule: wrappers check, retry and raise `OSError`; they decide nothing. Chapter 16.
"""
