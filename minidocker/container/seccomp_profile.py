"""Docker's seccomp profiles: which system calls a container may make, as data.

Pure. A profile is an allow list: rules name system calls and say what happens, everything else gets the default action.
A rule can depend on the arguments of the call, and on the container (its capabilities), the machine and the kernel.
The fields are those of Docker's JSON, so `--security-opt seccomp=FILE` is read straight into these records.

The default profile restates the one of Docker 28 and its successors (moby/profiles, 2026): what is not allowed is what
no ordinary program needs and what the kernel has been attacked through: mounting, modules, keyrings, io_uring,
userfaultfd, new namespaces, AF_ALG. Names that exist on neither machine of `minidocker.codec.syscalls` are left out.

See seccomp(2), `minidocker.container.seccomp` for the compiler. Chapter 19.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Final

from minidocker.errors import InvalidParameter
from minidocker.spec.record import json_key, read_record

__all__ = [
    "Action", "ArgumentTest", "Comparison", "Conditions", "Profile", "Rule", "default_profile", "parse_kernel_version",
    "parse_profile",
]  # fmt: skip

EPERM: Final = 1
ENOSYS: Final = 38

MAX_ARGUMENT: Final = 2**64 - 1


def parse_kernel_version(text: str) -> tuple[int, int]:
    """Return the first two numbers of a kernel version: `4.8` is (4, 8)."""
    major, dot, minor = text.partition(".")
    if not (dot and major.isascii() and major.isdigit() and minor.isascii() and minor.isdigit() and len(text) < 12):
        raise InvalidParameter(f"invalid seccomp profile: kernel version `{text:.40}`, expected a form such as `4.8`")
    return int(major), int(minor)


class Action(StrEnum):
    """What happens to a system call."""

    ALLOW = "SCMP_ACT_ALLOW"
    LOG = "SCMP_ACT_LOG"
    """Allowed, and written to the audit log."""
    TRACE = "SCMP_ACT_TRACE"
    ERRNO = "SCMP_ACT_ERRNO"
    TRAP = "SCMP_ACT_TRAP"
    """SIGSYS, which the process may handle."""
    KILL = "SCMP_ACT_KILL"
    """The older name of `KILL_THREAD`."""
    KILL_THREAD = "SCMP_ACT_KILL_THREAD"
    KILL_PROCESS = "SCMP_ACT_KILL_PROCESS"


class Comparison(StrEnum):
    """How an argument is compared with a value; without sign, 64 bits."""

    NOT_EQUAL = "SCMP_CMP_NE"
    LESS = "SCMP_CMP_LT"
    AT_MOST = "SCMP_CMP_LE"
    EQUAL = "SCMP_CMP_EQ"
    AT_LEAST = "SCMP_CMP_GE"
    GREATER = "SCMP_CMP_GT"
    MASKED_EQUAL = "SCMP_CMP_MASKED_EQ"
    """Whether argument & `value` is `value_two`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentTest:
    """A test of one argument."""

    index: int = field(metadata=json_key("index"))
    """0 to 5."""
    value: int = field(default=0, metadata=json_key("value"))
    value_two: int = field(default=0, metadata=json_key("valueTwo"))
    op: Comparison = field(metadata=json_key("op"))

    def __post_init__(self) -> None:
        """Refuse what no system call has."""
        if not 0 <= self.index <= 5:
            raise InvalidParameter(
                f"invalid seccomp profile: argument `{self.index}` of a system call, there are 0 to 5"
            )
        if not (0 <= self.value <= MAX_ARGUMENT and 0 <= self.value_two <= MAX_ARGUMENT):
            raise InvalidParameter(
                "invalid seccomp profile: a value to compare with is not a number of 64 bits without sign"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What `includes` (a rule counts only there) and `excludes` (not there) test."""

    caps: tuple[str, ...] = field(default=(), metadata=json_key("caps"))
    """`includes` wants all of them, `excludes` is content with one."""
    arches: tuple[str, ...] = field(default=(), metadata=json_key("arches"))
    """Machines in libseccomp's spelling: `amd64`, `arm64`, …"""
    min_kernel: str = field(default="", metadata=json_key("minKernel"))
    """Such as `4.8`."""

    def __post_init__(self) -> None:
        """Refuse a kernel version that cannot be compared."""
        parse_kernel_version(self.min_kernel or "0.0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to the system calls *names*, where *args* and the conditions hold."""

    names: tuple[str, ...] = field(default=(), metadata=json_key("names"))
    name: str = field(default="", metadata=json_key("name"))
    """The old form of *names*."""
    action: Action = field(metadata=json_key("action"))
    errno_ret: int | None = field(default=None, metadata=json_key("errnoRet"))
    args: tuple[ArgumentTest, ...] = field(default=(), metadata=json_key("args"))
    """All must hold; tests of the same argument are alternatives, as runc takes them."""
    includes: Conditions = field(default=Conditions(), metadata=json_key("includes"))
    excludes: Conditions = field(default=Conditions(), metadata=json_key("excludes"))

    def __post_init__(self) -> None:
        """Refuse a rule that says twice what it is about."""
        if self.name and self.names:
            raise InvalidParameter("invalid seccomp profile: a rule has both `name` and `names`", hint="keep `names`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A whole profile. Equal profiles compile to the same filter, so it is hashable through and through."""

    default_action: Action = field(metadata=json_key("defaultAction"))
    default_errno_ret: int | None = field(default=None, metadata=json_key("defaultErrnoRet"))
    syscalls: tuple[Rule, ...] = field(default=(), metadata=json_key("syscalls"))


def parse_profile(text: str) -> Profile:
    """Return the profile that a JSON file in Docker's form holds.

    Raises:
        InvalidParameter: not JSON, a wrong type or word, or nothing in it. Docker takes an empty object for "no filter",
            which has never been what its author wanted.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidParameter(
            f"decoding seccomp profile failed: {error!s:.120}", hint="expected Docker's JSON form"
        ) from error
    if isinstance(document, dict):
        if document.get("architectures") and document.get("archMap"):
            raise InvalidParameter(
                "invalid seccomp profile: both `architectures` and `archMap` are given", hint="use one"
            )
        if not document.get("defaultAction"):
            raise InvalidParameter(
                "invalid seccomp profile: `defaultAction` is missing",
                hint="to run without a filter, say seccomp=unconfined",
            )
    return read_record(Profile, document, where="seccomp profile")


_ALWAYS: Final = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 sendfile splice tee vmsplice copy_file_range
open openat openat2 creat close close_range lseek dup dup2 dup3 pipe pipe2 fcntl flock ioctl memfd_create memfd_secret
io_setup io_submit io_cancel io_destroy io_getevents io_pgetevents
sync syncfs fsync fdatasync sync_file_range readahead fadvise64 fallocate truncate ftruncate cachestat

stat fstat lstat newfstatat statx statfs fstatfs statmount listmount access faccessat faccessat2 readlink readlinkat
getdents getdents64 getcwd chdir fchdir mkdir mkdirat rmdir mknod mknodat link linkat symlink symlinkat unlink unlinkat
rename renameat renameat2 umask name_to_handle_at utime utimes futimesat utimensat
chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat
getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat listxattr llistxattr flistxattr
listxattrat removexattr lremovexattr fremovexattr removexattrat
inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark

select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait
epoll_pwait2 eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_gettime timerfd_settime

brk mmap munmap mremap mprotect madvise mincore msync mlock mlock2 mlockall munlock munlockall remap_file_pages
pkey_alloc pkey_free pkey_mprotect map_shadow_stack mseal membarrier process_mrelease

fork vfork execve execveat exit exit_group wait4 waitid getpid getppid gettid getpgid getpgrp setpgid getsid setsid
set_tid_address set_robust_list get_robust_list set_thread_area get_thread_area rseq restart_syscall prctl pidfd_open
pidfd_send_signal futex futex_wait futex_wake futex_requeue futex_waitv uretprobe
getrlimit setrlimit prlimit64 getrusage times getpriority setpriority ioprio_get ioprio_set getcpu sysinfo uname
sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam
sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval

kill tkill tgkill pause sigaltstack rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_tgsigqueueinfo

time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep alarm getitimer setitimer timer_create
timer_delete timer_getoverrun timer_gettime timer_settime adjtimex clock_adjtime getrandom

getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid setresuid setresgid setfsuid
setfsgid setgroups capget capset seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self

socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt sendto sendmsg
sendmmsg recvfrom recvmsg recvmmsg
mq_open mq_unlink mq_notify mq_getsetattr mq_timedsend mq_timedreceive msgctl msgget msgrcv msgsnd semctl semget semop
semtimedop shmat shmctl shmdt shmget
"""
"""Files, paths, waiting, memory, processes, signals, time, identity, communication: what every program may do.

Much of it still needs a capability or a permission (chown, setuid); the filter is one layer of several.
"""

_WITH_CAPABILITY: Final = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
    "lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd "
    "setdomainname sethostname setns syslog umount2 unshare",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday clock_settime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}
"""System calls that come with a capability: whoever is trusted with the one is trusted with the others."""

_AF_ALG: Final = 38
"""Kernel cryptography through a socket; CVE-2026-31431."""
_AF_VSOCK: Final = 40
"""The way from a virtual machine to its host: it has no network namespaces, so a container would reach through."""

_PERSONALITIES: Final = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""PER_LINUX, PER_LINUX32, each also with UNAME26, and the question which one it is. Others switch off protections."""

_NAMESPACE_FLAGS: Final = 0x7E020000
"""NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET of clone(2)."""


@cache
def default_profile() -> Profile:
    """Return Docker's default profile: an error, EPERM, for everything that is not allowed here."""
    return Profile(
        default_action=Action.ERRNO,
        default_errno_ret=EPERM,
        syscalls=(
            _allow(_ALWAYS),
            _allow("process_vm_readv process_vm_writev ptrace", includes=Conditions(min_kernel="4.8")),
            _allow("socket", ArgumentTest(index=0, op=Comparison.LESS, value=_AF_ALG)),
            _allow("socket", ArgumentTest(index=0, op=Comparison.EQUAL, value=_AF_ALG + 1)),
            _allow("socket", ArgumentTest(index=0, op=Comparison.GREATER, value=_AF_VSOCK)),
            *(_allow("personality", ArgumentTest(index=0, op=Comparison.EQUAL, value=p)) for p in _PERSONALITIES),
            _allow("arch_prctl modify_ldt", includes=Conditions(arches=("amd64",))),
            *(_allow(names, includes=Conditions(caps=(capability,))) for capability, names in _WITH_CAPABILITY.items()),
            _allow(
                "clone",
                ArgumentTest(index=0, op=Comparison.MASKED_EQUAL, value=_NAMESPACE_FLAGS, value_two=0),
                excludes=Conditions(caps=("CAP_SYS_ADMIN",)),
            ),
            # Its flags are behind a pointer, which a filter cannot follow; told "not there", libc falls back to clone.
            Rule(
                names=("clone3",), action=Action.ERRNO, errno_ret=ENOSYS, excludes=Conditions(caps=("CAP_SYS_ADMIN",))
            ),
        ),
    )


_NOTHING: Final = Conditions()


def _allow(names: str, *tests: ArgumentTest, includes: Conditions = _NOTHING, excludes: Conditions = _NOTHING) -> Rule:
    return Rule(names=tuple(names.split()), action=Action.ALLOW, args=tests, includes=includes, excludes=excludes)
