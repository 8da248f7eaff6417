#!/usr/bin/env bash
# libseccomp: which of two rules for one system call answers.
. "$(dirname "$0")/common"
deb 'libseccomp2=2.5.4-1*'
wheels pyseccomp==0.1.2
cat <<TEXT
libseccomp 2.5.4 (by pyseccomp 0.1.2), default action ALLOW, two rules for getpriority(which, who) that overlap, each with
its own ERRNO; a call that both match.
Guess: the rule added first answers, or the more severe action, or the second rule is refused as a conflict (EEXIST).
Seen: rules on different arguments: the one on the higher argument number answers, in whichever order they were added and
whatever the errno (libseccomp issue 148: an order of rules is "not something libseccomp has ever guaranteed"). A rule on an
argument, then one on it and one more: accepted, and the second is dropped without a word; the other way round: EEXIST.
(The manual page seccomp_rule_add(3) says only that a rule without arguments drops one with.)
TEXT
cat >"$tmp/overlap.py" <<'PY'
import ctypes
import errno
import os
import sys
import pyseccomp as seccomp
GETPRIORITY = 140  # x86-64
which, both = [seccomp.Arg(0, seccomp.EQ, 1)], [seccomp.Arg(0, seccomp.EQ, 1), seccomp.Arg(1, seccomp.EQ, 5)]
who = [seccomp.Arg(1, seccomp.EQ, 5)]
rules = {"which": (77, which), "who": (88, who), "both": (99, both)}
def answer(names):
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            filter = seccomp.SyscallFilter(seccomp.ALLOW)
            for name in names:
                number, arguments = rules[name]
                filter.add_rule(seccomp.ERRNO(number), "getpriority", *arguments)
            filter.load()
            libc = ctypes.CDLL(None, use_errno=True)
            libc.syscall(*(ctypes.c_long(value) for value in (GETPRIORITY, 1, 5)))
            said = {77: "which", 88: "who", 99: "both"}[ctypes.get_errno()]
        except OSError as error:
            said = errno.errorcode[error.errno]
        os.write(write, said.encode())
        os._exit(0)
    os.wait()
    return os.read(read, 100).decode()
print(answer(sys.argv[1:]))
PY
version=$(python -c 'import pyseccomp; print(*pyseccomp.get_api() if isinstance(pyseccomp.get_api(), tuple) else [pyseccomp.get_api()])')
echo "  (API level of the library and this kernel: $version)"
expect "which == 1, then who == 5" who "$(python "$tmp/overlap.py" which who)"
expect "who == 5, then which == 1" who "$(python "$tmp/overlap.py" who which)"
expect "which == 1, then which == 1 and who == 5" which "$(python "$tmp/overlap.py" which both)"
expect "which == 1 and who == 5, then which == 1" EEXIST "$(python "$tmp/overlap.py" both which)"
finish
