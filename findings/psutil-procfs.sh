#!/usr/bin/env bash
# psutil.PROCFS_PATH: half of a process is read there, the other half asked of the running kernel.
. "$(dirname "$0")/common"
wheels psutil==7.2.2
cat <<TEXT
psutil 7.2.2, PROCFS_PATH on the /proc of a machine of 64 CPUs, load 9.0, with one process, pid 5000000 (no Linux here has it),
nice 7: as a container reads its host's /proc that is mounted elsewhere, whose pids are not its own.
Guess: what /proc/PID/stat, /proc/stat and /proc/loadavg hold comes from there: nice is field 19 of a line that is read anyway.
Seen: name, threads, CPU times are the tree's; nice() asks getpriority(2) and pid_exists() kill(2) about our own process of that
number: none here, a stranger's for a small one. So process_iter(["name"]) has the process and process_iter(["name", "nice"])
leaves it out without a word. cpu_times() has 64 CPUs, cpu_count() sysconf(3)'s, getloadavg() is ours (psutil/_pslinux.py).
TEXT
cat >"$tmp/read.py" <<'PY'
import os
import sys
from pathlib import Path
import psutil
root, pid = Path(sys.argv[1]), 5000000
stat = [pid, "(far)", "S", 1, 1, 1, 0, -1, 0, 0, 0, 0, 0, 500, 600, 0, 0, 20 + 7, 7, 3, 0, 100, 4096, 10] + [0] * 28
files = {f"{pid}/stat": " ".join(map(str, stat)), f"{pid}/status": "Name:\tfar\nUid:\t0\t0\t0\t0\nThreads:\t3\n", f"{pid}/cmdline": "far\0"}
files["stat"] = "cpu  1 2 3 4 5 6 7 8 9 10\n" + "".join(f"cpu{n} 1 2 3 4 5 6 7 8 9 10\n" for n in range(64)) + "btime 1000000000\n"
files["loadavg"] = "9.00 9.00 9.00 1/2 5000000\n"
for name, text in files.items():
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
psutil.PROCFS_PATH = str(root)
def said(ask):
    try:
        return ask()
    except psutil.NoSuchProcess:
        return "NoSuchProcess"
process = psutil.Process(pid)
print(psutil.pids(), process.name(), process.num_threads(), round(process.cpu_times().user))
print(said(process.nice), psutil.pid_exists(pid))
print([found.pid for found in psutil.process_iter(["name", "num_threads"])], list(psutil.process_iter(["name", "nice"])))
print(len(psutil.cpu_times(percpu=True)), psutil.cpu_count() == os.sysconf("SC_NPROCESSORS_ONLN"))
print(psutil.getloadavg() == (9.0, 9.0, 9.0))
PY
python "$tmp/read.py" "$tmp/proc" >"$tmp/said"
line() { sed -n "$1p" "$tmp/said"; }
expect "pids, name, threads, user time" "[5000000] far 3 5" "$(line 1)"
expect "nice(), pid_exists()" "NoSuchProcess False" "$(line 2)"
expect "process_iter() by name and threads, by name and nice" "[5000000] []" "$(line 3)"
expect "cpu_times(percpu=True), and whether cpu_count() is sysconf's" "64 True" "$(line 4)"
expect "whether getloadavg() is the tree's" False "$(line 5)"
finish
