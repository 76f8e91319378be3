"""The images that need no network: `hello` and `toolbox`, made by the server when they are first named.

Invariant: the same host gives the same image, byte for byte. Reading order: `images` (which there are, and how they enter the
store), `toolbox` (a small root file system, put together from the host's own programs). Chapter 7.
"""
