"""Codecs: bytes to values and back, without touching anything.

Sans-I/O: a codec is given bytes and gives back values, or the other way round; who reads and writes the bytes is not its
concern. So every format can be learnt, and tested, on any machine. Garbage raises the module's own error, nothing else.

- `http1`: requests, responses, headers and chunked bodies, as the Remote API speaks them
- `frames`: the 8-byte frames that carry stdout and stderr over one connection
- `tar`: archives, the form in which image layers travel; `tar_header`: the blocks that stand before each entry
- `compression`: which compression a stream has, found out from its first bytes
- `whiteout`: how a layer says that something is gone, and what a stack of layers shows
- `mountinfo`: the mount table as the kernel prints it
- `netlink`: the message frame in which Linux's network stack is asked and answers
- `rtnetlink`: links, addresses and routes in such messages
- `nftables`: tables, chains and rules of the packet filter in such messages
- `elf`: programs: the machine, the loader and the libraries that they need; and a minimal writer
- `executable`: why the kernel would not run a file
- `syscalls`: numbers of system calls
- `bpf`: the classic BPF machine, in which seccomp filters are written

"""
