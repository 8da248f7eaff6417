#!/usr/bin/env bash
# lscpu --sysroot on another machine's tree: the architecture is yours.
. "$(dirname "$0")/common"
deb 'util-linux=2.38.1-5*' 'libsmartcols1=2.38.1-5*'
cat <<TEXT
$(lscpu --version), lscpu --sysroot on the tree of an arm64 of two CPUs (cpu_byteorder big), on $(uname -m).
Guess: architecture and byte order come from the tree (/proc/cpuinfo, /sys/kernel/cpu_byteorder) or are left out, as
"CPU op-mode(s)" is; lscpu(1) says that --sysroot gathers data "for a Linux instance other than" the running one.
Seen: CPUs, vendor and model are the tree's; architecture and byte order are those of uname(2) and of lscpu's own build
(sys-utils/lscpu-cputype.c, lscpu_read_architecture), with nothing that says so: a Cortex-A72 of architecture x86_64.
TEXT
root=$tmp/tree
mkdir -p "$root/proc" "$root/sys/kernel" "$root/sys/devices/system/cpu"
echo big >"$root/sys/kernel/cpu_byteorder"
for name in possible present online; do echo 0-1 >"$root/sys/devices/system/cpu/$name"; done
for cpu in 0 1; do
    topology=$root/sys/devices/system/cpu/cpu$cpu/topology
    mkdir -p "$topology"
    echo 0 >"$topology/physical_package_id"
    echo $cpu | tee "$topology/core_id" "$topology/core_cpus_list" >"$topology/thread_siblings_list"
    echo $((cpu + 1)) | tee "$topology/core_cpus" >"$topology/thread_siblings"
    echo 3 | tee "$topology/package_cpus" >"$topology/core_siblings"
    echo 0-1 | tee "$topology/package_cpus_list" >"$topology/core_siblings_list"
    printf 'processor\t: %s\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n' $cpu
done >"$root/proc/cpuinfo"
field() { lscpu --sysroot "$root" | sed -n "s/^$1: *//p"; }
expect "Vendor ID" ARM "$(field 'Vendor ID')"
expect "Model name" Cortex-A72 "$(field 'Model name')"
expect "CPU(s)" 2 "$(field 'CPU(s)')"
expect "Architecture" "$(uname -m)" "$(field Architecture)"
expect "Byte Order" "Little Endian" "$(field 'Byte Order')"
finish
