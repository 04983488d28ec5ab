"""The charts of README.md and of the site: speed-ups as bars, in SVG, which a test compares with the runs."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from benchmarks.measure import DTYPES, Document, two_digits
from benchmarks.peers import filling
from benchmarks.readme import Ratios, square_ratios

WIDTH, HEIGHT = 720, 330
LEFT, RIGHT, TOP, BOTTOM = 66, WIDTH - 8, 44, HEIGHT - 48  # the axes
GAP = 0.2  # between two groups, as a fraction of a group
LABELLED = 12  # bars at least as wide as this carry their number
THEMES = {"light": {"text": "#1f2328", "grid": "#d1d9e0"}, "dark": {"text": "#f0f6fc", "grid": "#3d444d"}}
# A phone shows a chart at half its size: there the text is larger, and bars carry no numbers.
STYLE = """\
text {{ font: 13px system-ui, sans-serif; fill: {text}; text-anchor: middle }}
.value {{ font-size: 9px }}
.tick {{ text-anchor: end }}
.name {{ text-anchor: start }}
line {{ stroke: {grid} }}
.one {{ stroke: {text} }}
@media (max-width: 480px) {{ text {{ font-size: 20px }} .value {{ display: none }} }}"""

DTYPE_COLOURS = dict(zip(DTYPES, ("#1f6fb4", "#7db8e8", "#d1670a", "#f0b36e"), strict=True))
PEERS = {  # what a peer is measured with, and its colour
    "NumPy": (("numpy",), "#1f6fb4"),
    "SciPy": (("scipy gesdd", "scipy gesvd"), "#e0457b"),
    "gesvj": (("gesvj",), "#8c959f"),
    "torch": (("torch",), "#d1670a"),
    "JAX": (("jax",), "#8a63d2"),
    "Eigen": (("eigen",), "#3a9d5d"),
}
PEER_COLOURS = {peer: colour for peer, (_, colour) in PEERS.items()}

Height = Callable[[float], float]


def charts(found: Sequence[Document], beside: Sequence[Document]) -> dict[str, str]:
    """Return all charts by the names of their files, each for a light and a dark page."""
    drawn = {}
    for theme in THEMES:
        over_numpy = square_ratios(found)
        drawn[f"speed-{theme}.svg"] = bars("Speed-up over NumPy", over_numpy, DTYPE_COLOURS, theme)
        for dtype in ("float32", "float64"):
            over_peers = peer_ratios(beside, dtype)
            chart = bars(f"Speed-up in {dtype}", over_peers, PEER_COLOURS, theme)
            drawn[f"peers-{dtype}-{theme}.svg"] = chart
    return drawn


def peer_ratios(found: Sequence[Document], dtype: str) -> Ratios:
    """The time of each peer, by its faster routine, over ours: thin, with the most threads measured."""
    rows = filling(found)
    most = max(threads for threads, *_ in rows)
    ratios: Ratios = {}
    for (*kind, n), row in sorted(rows.items(), key=lambda item: item[0][-1]):
        if kind != [most, dtype, "thin"]:
            continue
        medians = {name: times["p50"] for name, times in row["seconds"].items()}
        for peer, (names, _) in PEERS.items():
            if timed := [medians[name] for name in names if name in medians]:
                ratios.setdefault(peer, {})[n] = min(timed) / medians["auto"]
    return {peer: ratios[peer] for peer in PEERS if peer in ratios}


def bars(
    title: str, series: Mapping[str, Mapping[int, float]], colours: Mapping[str, str], theme: str
) -> str:
    """Return a chart on a logarithmic scale: for each n a group of bars, one of each series.

    Bars begin at one: those of ratios below one point down.
    """
    ratios = [ratio for of_series in series.values() for ratio in of_series.values()]
    low, high = math.log(min(1, *ratios) / 1.3), math.log(max(ratios) * 1.3)
    sizes = sorted({n for of_series in series.values() for n in of_series})
    group = (RIGHT - LEFT) / len(sizes)
    width = group * (1 - GAP) / len(series)

    def height(ratio: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (math.log(ratio) - low) / (high - low)

    parts = [*grid(height), *legend({name: colours[name] for name in series})]
    for i, n in enumerate(sizes):
        left = LEFT + group * (i + GAP / 2)
        parts.append(text(LEFT + group * (i + 0.5), BOTTOM + 18, n))
        for j, (name, of_series) in enumerate(series.items()):
            if n in of_series:
                parts += bar(left + j * width, width, of_series[n], height, colours[name])
    parts.append(text((LEFT + RIGHT) / 2, HEIGHT - 8, "n, for matrices of n × n"))
    parts.append(f'<g transform="translate(18 {(TOP + BOTTOM) / 2}) rotate(-90)">{text(0, 0, title)}</g>')
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{STYLE.format(**THEMES[theme])}\n</style>",
            *parts,
            "</svg>\n",
        ]
    )


def grid(height: Height) -> list[str]:
    parts = []
    for tick in (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000):
        y = height(tick)
        if TOP <= y <= BOTTOM:
            line = "one" if tick == 1 else "other"
            parts.append(f'<line class="{line}" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(text(LEFT - 6, y + 4, f"{tick:g}", "tick"))
    return parts


def legend(colours: Mapping[str, str]) -> list[str]:
    parts = []
    for j, (name, colour) in enumerate(colours.items()):
        x = LEFT + (RIGHT - LEFT) * j / len(colours)
        parts.append(f'<rect x="{x:.1f}" y="10" width="12" height="12" fill="{colour}"/>')
        parts.append(text(x + 18, 21, escape(name), "name"))
    return parts


def bar(x: float, width: float, ratio: float, height: Height, colour: str) -> list[str]:
    top, bottom = sorted((height(ratio), height(1)))
    size = f'width="{width - 1:.1f}" height="{bottom - top:.1f}"'
    parts = [f'<rect x="{x:.1f}" y="{top:.1f}" {size} fill="{colour}"/>']
    if width >= LABELLED:
        parts.append(text(x + width / 2, top - 3, two_digits(ratio), "value"))
    return parts


def text(x: float, y: float, content: object, kind: str = "label") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{content}</text>'
