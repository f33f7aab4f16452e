"""Plots as parts of a page: pictures inside it, or live figures with their scripts inside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence

import numpy as np
from arviz_base import rcParams
from xarray import DataTree

from pm_statmech.datatree import Node

# nodes of a model graph, beyond which it is told and not drawn
MOST_NODES = 40
# of the layout of a model graph
N_SWEEPS = 4
LOOKS = {
    "free": {"boxstyle": "round,pad=0.45,rounding_size=0.9", "facecolor": "white"},
    "observed": {"boxstyle": "round,pad=0.45,rounding_size=0.9", "facecolor": "0.85"},
    "deterministic": {"boxstyle": "square,pad=0.4", "facecolor": "white"},
    "data": {"boxstyle": "square,pad=0.4", "facecolor": "0.93"},
    "potential": {"boxstyle": "round,pad=0.4,rounding_size=0.2", "facecolor": "0.85"},
}


def chosen(backend: str | None) -> str:
    """Backend of arviz-plots, by default ArviZ's own choice."""
    return rcParams["plot.backend"] if backend is None else backend


def scripts(backend: str) -> str:
    """What the head of a page needs for live figures of a backend, without a link to anything."""
    if backend == "bokeh":
        from bokeh.resources import INLINE

        return INLINE.render()
    if backend == "plotly":
        from plotly.offline import get_plotlyjs

        return f"<script>{get_plotlyjs()}</script>"
    return ""


def embedded(plot: Callable, dt: DataTree, alt: str, backend: str) -> str:
    """A plot of a backend as a part of a page, with a description for those who cannot see it."""
    figure = plot(dt, backend=backend).viz["figure"].item()
    if backend == "matplotlib":
        return picture(figure, alt)
    if backend == "plotly":
        inside = figure.to_html(
            full_html=False, include_plotlyjs=False, config={"displaylogo": False}
        )
    else:
        from bokeh.embed import components

        inside = "".join(components(figure))
    label = html.escape(alt, quote=True)
    return f'<figure role="img" aria-label="{label}" class="scroll">{inside}</figure>'


def picture(figure, alt: str) -> str:
    """The <img> of a Matplotlib figure, inside the page itself."""
    from matplotlib import pyplot

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    width = figure.get_size_inches()[0] * 110
    pyplot.close(figure)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<div class="scroll"><img alt="{html.escape(alt, quote=True)}" width="{width:.0f}" '
        f'src="data:image/png;base64,{data}"></div>'
    )


def in_layers(nodes: Sequence[Node]) -> dict[str, tuple[float, int]]:
    """Place (x, layer) of every node: below its parents, and near the middle of its neighbours."""
    import networkx as nx

    graph = nx.DiGraph([(parent, node.name) for node in nodes for parent in node.parents])
    graph.add_nodes_from(node.name for node in nodes)
    layers = [list(names) for names in nx.topological_generations(graph)]
    x = {name: k - 0.5 * (len(names) - 1) for names in layers for k, name in enumerate(names)}
    # down by the parents and up by the children, which uncrosses most arrows
    for _ in range(N_SWEEPS):
        for ordered, neighbours in ((layers, graph.pred), (layers[::-1], graph.succ)):
            for names in ordered:
                wished = {
                    name: sum(x[other] for other in neighbours[name]) / len(neighbours[name])
                    if neighbours[name] else x[name]
                    for name in names
                }  # fmt: skip
                names.sort(key=wished.__getitem__)
                x |= {name: k - 0.5 * (len(names) - 1) for k, name in enumerate(names)}
    return {name: (x[name], layer) for layer, names in enumerate(layers) for name in names}


def told(nodes: Sequence[Node]) -> str:
    """The graph in words."""
    sentences = []
    for node in nodes:
        kind = f"{node.distribution}, {node.kind}" if node.distribution else node.kind
        of = f", of {', '.join(node.parents)}" if node.parents else ""
        sentences.append(f"{node.name} ({kind}{of})")
    return "Graph of the model: " + "; ".join(sentences) + "."


def drawn(nodes: Sequence[Node]) -> str:
    """The graph of a model as a picture, or in words where it is large.

    Circles are random variables, grey where they are observed; boxes are what is computed from
    them or given; arrows point from parents to children.
    """
    if len(nodes) > MOST_NODES:
        return f"<p>{html.escape(told(nodes))}</p>"
    from matplotlib import pyplot

    places = in_layers(nodes)
    widest = max(abs(x) for x, _ in places.values()) + 0.7
    deepest = max(layer for _, layer in places.values())
    figure, ax = pyplot.subplots(figsize=(max(4.0, 4.2 * widest), 1.3 + 1.25 * deepest))
    boxes = {}
    for node in nodes:
        x, layer = places[node.name]
        lines = [node.name]
        if node.distribution:
            lines.append(f"~ {node.distribution}")
        elif node.kind == "potential":
            lines.append("Potential")
        if node.shape:
            lines.append(node.shape)
        boxes[node.name] = ax.text(
            x, -layer, "\n".join(lines).replace("$", r"\$"), ha="center", va="center", fontsize=9,
            zorder=2,
            bbox={**LOOKS[node.kind], "edgecolor": "0.3"},
        )  # fmt: skip
    ax.set(xlim=(-widest, widest), ylim=(-deepest - 0.5, 0.5))
    ax.axis("off")
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.99)
    # boxes have a size once they are drawn, and arrows go from edge to edge
    figure.canvas.draw()
    back = ax.transData.inverted()
    halves = {name: np.ptp(back.transform(_extent(box)), axis=0) / 2 for name, box in boxes.items()}
    for node in nodes:
        for parent in node.parents:
            start, end = (np.array([x, -layer]) for x, layer in (places[parent], places[node.name]))
            ax.annotate(
                "", end - to_edge(end - start, halves[node.name]),
                start + to_edge(end - start, halves[parent]), zorder=1,
                arrowprops={"arrowstyle": "-|>", "color": "0.3", "shrinkA": 0, "shrinkB": 0,
                            "mutation_scale": 12},
            )  # fmt: skip
    return picture(figure, told(nodes))


def _extent(text):
    """Window extent of the box about a text that has been drawn."""
    return text.get_bbox_patch().get_window_extent()


def to_edge(direction: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Step along a direction from the centre of a box (2,) of half sizes (2,) to its edge."""
    with np.errstate(divide="ignore"):
        return direction * np.min(half / np.abs(direction))
