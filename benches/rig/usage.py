"""What a process has used, from /proc."""

import os
import pathlib

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of all threads of a process so far (proc(5): fields 14 and 15 of its stat)."""
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    # The name may hold spaces and parentheses; what follows the last one does not.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def cpu_by_thread(pid):
    """The name of each thread of a process, and the seconds that it has run (proc(5): the first field of its schedstat)."""
    told = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        nanoseconds = (task / "schedstat").read_text().split()[0]
        told.append(((task / "comm").read_text().strip(), int(nanoseconds) / 1e9))
    return told


def forget_peak(pid):
    """Lets the peak of its memory begin anew."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mib(pid):
    """The most memory that it has had in RAM at once (VmHWM), in MiB."""
    return _status_kib(pid, "VmHWM") / 1024


def resident_mib(pid):
    """The memory that it has in RAM now (VmRSS), in MiB."""
    return _status_kib(pid, "VmRSS") / 1024


def _status_kib(pid, name):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise SystemExit(f"process {pid} tells no {name}")
