"""A small Linux machine in QEMU: where containers run when the host is not Linux, or its owner is not root.

The invariant: a machine is made of files only. A Debian kernel, and in memory the interpreter of the host, the part of the
standard library that is used, busybox and this project; nothing is installed on the host and nothing there needs root.

Reading order: `cpio` (the archive that the kernel unpacks), `kernel_image` and `modules` (what a kernel file says of itself),
`deb` and `packages` (where kernels come from), `imports` and `initramfs` (what is in the machine), `settings` and `init` (its first
process), `qemu` and `boot` (starting it and watching it). Chapter 20.
"""
