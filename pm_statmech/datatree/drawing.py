"""The graph of a model as the sampler saves it, so that a report can show it without the model."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pymc as pm
from pymc.model_graph import ModelGraph, NodeType, get_node_type, random_variable_symbol

KINDS = {
    NodeType.FREE_RV: "free",
    NodeType.OBSERVED_RV: "observed",
    NodeType.DETERMINISTIC: "deterministic",
    NodeType.POTENTIAL: "potential",
    NodeType.DATA: "data",
}


@dataclass(frozen=True)
class Node:
    """A named variable of a model: its kind, its distribution or "", and its dims or shape."""

    name: str
    kind: str
    distribution: str
    shape: str
    parents: tuple[str, ...]


def model_graph(model: pm.Model) -> str:
    """Named variables of a model with their parents, as JSON.

    Shapes are those that are known without drawing anything: a loss cannot be drawn.

    Examples
    --------
    >>> import pymc as pm
    >>> with pm.Model(coords={"city": ["Rome", "Oslo"]}) as model:
    ...     mu = pm.Normal("mu")
    ...     y = pm.Normal("y", mu, observed=[1.0, 2.0], dims="city")
    >>> for node in read_graph(model_graph(model)):
    ...     print(node.name, node.kind, node.distribution, node.shape, node.parents)
    mu free Normal  ()
    y observed Normal city (2) ('mu',)
    """
    parents = ModelGraph(model).make_compute_graph()
    nodes = []
    for name in (str(name) for name in parents):
        variable = model[name]
        kind = get_node_type(name, model)
        random = kind in (NodeType.FREE_RV, NodeType.OBSERVED_RV)
        nodes.append(
            {
                "name": name,
                "kind": KINDS[kind],
                "distribution": random_variable_symbol(variable) if random else "",
                "shape": _shape(model, variable),
                "parents": sorted(str(parent) for parent in parents[name]),
            }
        )
    order = list(model.named_vars)
    return json.dumps(sorted(nodes, key=lambda node: order.index(node["name"])))


def _shape(model: pm.Model, variable) -> str:
    """Dims with their lengths, or the static shape."""
    value = model.rvs_to_values.get(variable, variable)
    sizes = getattr(value, "data", np.empty(0)).shape if hasattr(value, "data") else ()
    lengths = sizes if len(sizes) == variable.ndim else variable.type.shape
    dims = model.named_vars_to_dims.get(variable.name) or [None] * variable.ndim
    known = [
        len(model.coords[dim]) if size is None and model.coords.get(dim) is not None else size
        for dim, size in zip(dims, lengths, strict=True)
    ]
    told = ["?" if size is None else str(size) for size in known]
    return " x ".join(
        size if dim is None else f"{dim} ({size})" for dim, size in zip(dims, told, strict=True)
    )


def read_graph(text: str) -> list[Node]:
    """Nodes of a saved graph."""
    return [Node(**{**node, "parents": tuple(node["parents"])}) for node in json.loads(text)]
