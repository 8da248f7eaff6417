#!/usr/bin/env bash
# hwloc on another machine's tree: the caches are yours.
. "$(dirname "$0")/common"
deb hwloc-nox=2.9.0-1 libhwloc15=2.9.0-1
cat <<TEXT
hwloc $(lstopo-no-graphics --version | awk '{ print $NF }'), HWLOC_FSROOT on the /sys and /proc of an arm64 machine of one CPU without cache directories.
Guess: what is shown comes from the tree alone: a core and a PU; the manual says of the variable that it reads the topology
from that root, and that it is then not taken for this system's.
Seen: the x86 component runs CPUID on the machine it runs on and hangs its caches on the tree's cores, with status 0. With
HWLOC_COMPONENTS=-x86 it is as guessed (hwloc, topology-x86.c: it annotates what another component found).
TEXT
python3 - "$tmp/tree" <<'PY'
import sys
from pathlib import Path
root = Path(sys.argv[1])
cpu = "sys/devices/system/cpu/"
topology = {"physical_package_id": 0, "core_id": 0, "core_cpus": 1, "core_cpus_list": 0, "thread_siblings": 1}
topology |= {"thread_siblings_list": 0, "package_cpus": 1, "package_cpus_list": 0, "core_siblings": 1, "core_siblings_list": 0}
files = {cpu + name: 0 for name in ("possible", "present", "online")}
files |= {cpu + "cpu0/topology/" + name: value for name, value in topology.items()}
files["proc/cpuinfo"] = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd08\n"
files["proc/meminfo"] = "MemTotal:        4000000 kB"
for name, value in files.items():
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(f"{value}\n")
PY
export HWLOC_FSROOT="$tmp/tree"
lstopo-no-graphics --of console 2>/dev/null | sed 's/^/  | /'
answer() { grep -qE "L[1-3][di]? L#0" && echo caches || echo "no cache"; }
expect "as it comes" caches "$(lstopo-no-graphics --of console 2>/dev/null | answer)"
expect "HWLOC_COMPONENTS=-x86" "no cache" "$(HWLOC_COMPONENTS=-x86 lstopo-no-graphics --of console 2>/dev/null | answer)"
expect "HWLOC_THISSYSTEM=0 beside HWLOC_FSROOT" caches "$(HWLOC_THISSYSTEM=0 lstopo-no-graphics --of console 2>/dev/null | answer)"
finish
