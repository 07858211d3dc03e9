"""Figures as tables, and the sections of RESULTS.md that benches write themselves."""

import datetime
import os
import pathlib
import platform
import re
import statistics
import subprocess

RESULTS = pathlib.Path(__file__).parents[1] / "RESULTS.md"


def percentile(ordered, share):
    """The value below which this share of an ordered list lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median(values):
    """The middle of several windows: one that met a busy machine does not move it."""
    return statistics.median(values)


def table(head, rows):
    """A Markdown table whose columns are aligned for people who read the source."""
    cells = [list(map(str, row)) for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in cells]
    rule = "|" + "|".join("-" * (width + 1) + (":" if column else "-") for column, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def machine():
    """The machine and the day, in a line."""
    cpu = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    name = cpu[1] if cpu else platform.machine()
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    today = datetime.datetime.now(datetime.UTC).date()
    return (f"{today}, {name}, {os.cpu_count()} cores, Linux {platform.release()}, commit {_commit()}; "
            f"load average at the start {load}")


def write(section, text, file=RESULTS):
    """Puts the text in place of a section of RESULTS.md, or of another file: what stands between its two marks."""
    begin, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    before, _, rest = file.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{file} has no place for {section}")
    file.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}")


def _commit():
    told = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=RESULTS.parent,
                          capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"
