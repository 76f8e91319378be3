"""Networks: how a container gets an address, reaches the world and is reached.

The default network is a *bridge*: a switch made of software, `minidocker0` on the host. Every container gets a network
namespace of its own and a *veth* pair, a cable with one plug in the container (`eth0`) and one in the bridge.

    container A  eth0 ═════ vethA ┐
                                  ├ minidocker0 172.17.0.1 ── host: routing, packet filter ── eth0 ── the world
    container B  eth0 ═════ vethB ┘

Packets that leave the bridge's subnet are *masqueraded*: they carry the host's address. Packets to a published port get
a new destination (DNAT) where the filter sees them; a client on the host itself, or one that speaks IPv6, is served by
the *proxy* in the container's monitor.

Rule: the table in the kernel is a pure function of (bridges, published ports); its rules are always the same, and what
changes are elements of its sets, in one transaction, in a table of our own. Whoever finds the table after a crash just
computes it again.

Reading order: `ipam` (addresses), `bridge` (which subnet), `ports` (what is asked for), `rules` (what the filter is
told), `apply` (the kernel does it), `proxy` (what the filter cannot), `names` (`/etc/hosts`, `/etc/resolv.conf`),
`record` (what `docker network ls` shows). Chapter 18.
"""
