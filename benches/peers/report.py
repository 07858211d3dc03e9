"""The tables of `make bench`."""

import dataclasses

from rig.results import median, percentile, table


@dataclasses.dataclass
class Figures:
    """What was measured of one proxy in one job."""

    cpu: list = dataclasses.field(default_factory=list)
    """µs of CPU for each request, by window; None where requests failed."""
    took: list = dataclasses.field(default_factory=list)
    """Latencies in µs at the fixed rate, in order, by window."""
    failed: int = 0
    """Windows in which requests failed."""
    peak: float = 0.0
    """The most memory during the job, in MiB."""


def job(job, figures):
    """The table of one job. Ratios and latencies are the middle of what the rounds say, each for itself."""
    first = next(iter(figures))
    head = ["", "CPU µs/request, median", "least", f"× {first}", f"p50 ms at {job.rate}/s", "p99 ms", "peak memory MiB"]
    rows = [[name, *_row(figure, figures[first])] for name, figure in figures.items()]
    rounds = len(figures[first].cpu)
    parts = [f"**{job.name}**, {job.ask.connections} connections, {rounds} windows each", table(head, rows)]
    failed = [f"{name} {figure.failed}" for name, figure in figures.items() if figure.failed]
    if failed:
        parts.append(f"Windows left out because requests failed in them: {', '.join(failed)}.")
    return "\n\n".join([*parts, job.note] if job.note else parts)


def _row(figure, first):
    cpu = [own for own in figure.cpu if own is not None]
    if not cpu or not figure.took:
        return ["failed"] + ["–"] * 5
    both = [own / other for own, other in zip(figure.cpu, first.cpu) if own is not None and other is not None]
    p50, p99 = (median([percentile(took, share) for took in figure.took]) / 1000 for share in (0.5, 0.99))
    ratio = f"{median(both):.2f}" if both else "–"
    return [f"{median(cpu):.1f}", f"{min(cpu):.1f}", ratio, f"{p50:.2f}", f"{p99:.2f}", f"{figure.peak:.0f}"]


def handshakes(figures):
    """The table of handshakes: µs of CPU by proxy and kind, in windows."""
    names = list(dict.fromkeys(name for name, _ in figures))
    rows = []
    for name in names:
        row = [name]
        for kind in ("new", "reuse"):
            own, first = figures[name, kind], figures[names[0], kind]
            ratios = [one / other for one, other in zip(own, first)]
            row += [f"{median(own):.0f}", f"{median(ratios):.2f}"]
        rows.append(row)
    head = ["", "full, CPU µs", f"× {names[0]}", "by a ticket, CPU µs", f"× {names[0]}"]
    rounds = len(next(iter(figures.values())))
    note = "OpenSSL's client, one connection after the other, TLS 1.3, a P-256 certificate; accepting and closing are in it."
    return "\n\n".join([f"**Handshakes**, {rounds} windows each", table(head, rows), note])


def whole(machine, proxies, tables):
    """The section of RESULTS.md."""
    versions = ", ".join(f"{proxy.name} {proxy.told_version()}".strip() for proxy in proxies)
    return "\n\n".join([f"`make bench` on {machine}. {versions}.", *tables])
