"""The tables of `make bench`."""

import dataclasses

from rig.results import median, percentile, table


@dataclasses.dataclass
class Figures:
    """What was measured of one proxy in one job."""

    cpu: list = dataclasses.field(default_factory=list)
    """µs of CPU for each request, by window."""
    took: list = dataclasses.field(default_factory=list)
    """Latencies in µs at the fixed rate, in order, by window."""
    peak: float = 0.0
    """The most memory during the job, in MiB."""


def job(job, figures):
    """The table of one job. Ratios and latencies are the middle of what the rounds say, each for itself."""
    first = next(iter(figures))
    head = ["", "CPU µs/request, median", "least", f"× {first}", f"p50 ms at {job.rate}/s", "p99 ms", "peak memory MiB"]
    rows = []
    for name, figure in figures.items():
        ratio = median([own / other for own, other in zip(figure.cpu, figures[first].cpu)])
        p50, p99 = (median([percentile(took, share) for took in figure.took]) / 1000 for share in (0.5, 0.99))
        rows.append([name, f"{median(figure.cpu):.1f}", f"{min(figure.cpu):.1f}", f"{ratio:.2f}",
                     f"{p50:.2f}", f"{p99:.2f}", f"{figure.peak:.0f}"])
    rounds = len(figures[first].cpu)
    text = f"**{job.name}**, {job.ask.connections} connections, {rounds} windows each\n\n{table(head, rows)}"
    return f"{text}\n\n{job.note}" if job.note else text


def whole(machine, proxies, tables):
    """The section of RESULTS.md."""
    versions = ", ".join(f"{proxy.name} {proxy.told_version()}".strip() for proxy in proxies)
    return "\n\n".join([f"`make bench` on {machine}. {versions}.", *tables])
