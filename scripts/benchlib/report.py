"""Progress while it runs; then tables in Markdown, JSON, and a plot."""
import statistics
import sys
import time


class Progress:
    """One line on stderr: what is done now, since when, and how long all of it will take."""

    def __init__(self, estimate):
        self.begin, self.total, self.done, self.tty = time.monotonic(), estimate, 0.0, sys.stderr.isatty()

    @staticmethod
    def clock(s):
        return f"{int(s) // 60}:{int(s) % 60:02}"

    def say(self, what):
        elapsed = time.monotonic() - self.begin
        # First the estimate, then ever more what was seen.
        expected = self.total
        if self.done:
            expected = max(elapsed, elapsed * self.total / self.done)
        line = f"{what}  {self.clock(elapsed)} of about {self.clock(expected)}"
        print(f"\r{line:<100}" if self.tty else line, end="" if self.tty else "\n", file=sys.stderr, flush=True)

    def step(self, estimate):
        self.done += estimate

    def end(self):
        if self.tty:
            print(f"\r{'':<100}\r", end="", file=sys.stderr, flush=True)


class Result:
    """What one part gave: for each system a figure by metric and round."""

    def __init__(self, part, names):
        self.part, self.names, self.rounds, self.absent, self.left_out = part, dict(names), {}, {}, None

    def add(self, system, figures):
        self.rounds.setdefault(system, []).append(figures)

    def yardstick(self, name, figures):
        self.names[name] = name
        self.rounds[name] = [figures]

    def values(self, system, key):
        return [r[key] for r in self.rounds.get(system, [])]

    def median(self, system, key):
        return statistics.median(self.values(system, key))

    def spread(self, system, key):
        """Half the range, as part of the median."""
        values = self.values(system, key)
        return (max(values) - min(values)) / 2 / statistics.median(values)

    def ratio(self, system, key, base):
        """The median of the ratios round by round, or None where one of the two was not measured."""
        ours, theirs = self.values(system, key), self.values(base, key)
        if not ours or not theirs:
            return None
        if len(ours) != len(theirs):
            theirs = [statistics.median(theirs)] * len(ours)
        return statistics.median(a / b for a, b in zip(ours, theirs))

    def base(self, key):
        return self.part.metrics[key].base or self.part.base

    def json(self):
        return {"title": self.part.title, "left_out": self.left_out, "absent": self.absent,
                "base": {key: self.base(key) for key in self.part.metrics},
                "rounds": {self.names[s]: r for s, r in self.rounds.items()},
                "targets": [{"what": text, "wanted": wanted, "seen": seen, "met": met(wanted, seen, lower)}
                            for text, wanted, seen, lower in self.part.targets(self) if seen is not None]}


def met(wanted, seen, lower):
    return bool(seen <= wanted if lower else seen >= wanted)


def number(x):
    return f"{x:,.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def cell(r, system, key):
    text = number(r.median(system, key))
    if len(r.rounds[system]) > 1:
        text += f" ±{100 * r.spread(system, key):.0f}%"
    ratio = r.ratio(system, key, r.base(key))
    return text if ratio is None or system == r.base(key) else f"{text} ({ratio:.2f})"


def table(r):
    """The part's table: figures down, systems across, since there are fewer of these."""
    part, systems = r.part, list(r.rounds)
    lines = [f"### {part.key}: {part.title}", ""]
    if r.left_out:
        return "\n".join(lines + [f"Left out: {r.left_out}.", ""])
    held = f"Four disks held to {part.mbps()} MB/s each. " if part.mbps() else ""
    bases = f"in brackets the ratio to {r.names.get(part.base, part.base)}"
    nr = max((len(v) for v in r.rounds.values()), default=0)
    how = f"Medians of {nr} rounds in which the systems took turns, ± half the range" if nr > 1 else "One round"
    lines += [f"{held}{how}; {bases}.", ""]
    if systems:
        lines += ["| | " + " | ".join(r.names[s] for s in systems) + " |", "|---" + "|---:" * len(systems) + "|"]
        for key, metric in part.metrics.items():
            lines.append(f"| {key}, {metric.unit} | " + " | ".join(cell(r, s, key) for s in systems) + " |")
        lines.append("")
    lines += [*part.about]
    lines += [f"Not there: {r.names[s]}: {why}." for s, why in r.absent.items()]
    wanted = [t for t in part.targets(r) if t[2] is not None]
    if wanted:
        lines += ["", "| wanted | | seen | |", "|---|---:|---:|---|"]
        for text, want, seen, lower in wanted:
            verdict = "met" if met(want, seen, lower) else "**missed**"
            lines.append(f"| {text} | {'<=' if lower else '>='} {want:g} | {seen:.2f} | {verdict} |")
    return "\n".join(lines + [""])


COLOUR = {"ext4": "#b8b8b8", "btrfs0": "#a6cee3", "btrfs5": "#3a7fb5", "mergerfs": "#8fc97f", "gluster": "#3d8b37",
          "zarr": "#a0714f", "nopass": "#b39ddb", "pass": "#6a4fa3", "matfs0": "#f5a623", "matfs5": "#d0311e"}


def plot(results, path, caption):
    """Ratios to each part's baseline as grouped bars, on a logarithmic scale; longer is better, also for space."""
    import matplotlib  # pylint: disable=import-outside-toplevel
    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker  # pylint: disable=import-outside-toplevel
    results = [r for r in results if r.rounds]
    fig, axes = pyplot.subplots(len(results), 1, figsize=(13, 3.4 * len(results)), squeeze=False)
    for ax, r in zip(axes[:, 0], results):
        systems, keys = list(r.rounds), list(r.part.metrics)
        width = 0.84 / len(systems)
        for i, s in enumerate(systems):
            heights = []
            for key in keys:
                ratio = r.ratio(s, key, r.base(key))
                heights.append(1 if ratio is None else 1 / ratio if r.part.metrics[key].lower else ratio)
            at = [k + (i - (len(systems) - 1) / 2) * width for k in range(len(keys))]
            bars = ax.bar(at, [h - 1 for h in heights], width * 0.95, bottom=1, color=COLOUR.get(s, "#555555"),
                          label=r.names[s].replace(", one disk", ""))
            if s.startswith("matfs"):
                for bar, h in zip(bars, heights):
                    ax.annotate(f"{h:.1f}" if h >= 1 else f"{h:.2f}", (bar.get_x() + bar.get_width() / 2, h),
                                xytext=(0, 2 if h >= 1 else -2), textcoords="offset points", ha="center",
                                va="bottom" if h >= 1 else "top", rotation=90, fontsize=6.5)
        ax.set_yscale("log", base=2)
        ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: f"{y:g}" if y >= 1 else f"1/{1 / y:g}"))
        ax.tick_params(axis="y", labelsize=8)
        ax.margins(x=0.01, y=0.15)
        ax.axhline(1, color="black", linewidth=0.8)
        ax.set_xticks(range(len(keys)), [k.replace(", ", ",\n") for k in keys], fontsize=8)
        ax.set_ylabel("times the baseline", fontsize=8)
        base = r.names.get(r.part.base, r.part.base)
        other = {r.names[m.base] for m in r.part.metrics.values() if m.base}
        ax.set_title(f"{r.part.key}: {r.part.title}\n1 = {base}" +
                     "".join(f" (read again: {o})" for o in other), fontsize=9, loc="left")
        ax.legend(fontsize=7, ncol=1, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        ax.grid(axis="y", linewidth=0.3)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    fig.text(0.01, 0.003, caption + "; bars above the line: better than the baseline (space: less of it)", fontsize=7)
    fig.tight_layout(rect=(0, 0.012, 1, 1))
    fig.savefig(path, dpi=110)
