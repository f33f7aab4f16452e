"""The shape of the package: layers import one way, files stay short, nothing leaks."""

import ast
import statistics
from pathlib import Path

import pytest

import pm_statmech as pms

ROOT = Path(pms.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# each layer may import from those before it, and from itself
LAYERS = [
    ("errors", "native_code", "ladder", "bridges", "transitions", "losses", "supports"),
    ("statistics", "integer_support"),
    ("log_partition",),
    ("exponential_family",),
    ("concentration",),
    ("network_kernels",),
    ("learning",),
    ("distributions", "gibbs"),
    ("energy_terms", "tempering", "explanation"),
    ("native_function", "latent_networks", "energy_function"),
    ("datatree", "regression", "minimum", "solvable"),
    ("pointwise",),
    ("samplers",),
    ("stats",),
    ("trace_bridge", "localisation"),
    ("calibration",),
    ("plots",),
    ("reporting",),
    ("__init__", "__main__"),
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# mathematics knows neither PyMC nor ArviZ; the densities of PyMC's distributions are the exception
CONCENTRATION = sorted((ROOT / "concentration").glob("*.py"))
MATHEMATICS = ["errors.py", "ladder.py", "bridges.py", "transitions.py", "supports.py",
               "statistics.py", "log_partition/inversion.py", "log_partition/fisher_bingham.py",
               "exponential_family.py", "log_partition/table.py", "log_partition/fold.py",
               "log_partition/pairwise.py", "log_partition/lattice.py",
               "log_partition/quadrature.py", "log_partition/moments.py",
               "log_partition/terms.py", "log_partition/conway_maxwell_poisson.py",
               "log_partition/operations.py", "log_partition/jax_callbacks.py",
               "log_partition/hurwitz_zeta.py", "log_partition/networks.py",
               "log_partition/frontier.py", "log_partition/transfer_matrix.py",
               "log_partition/transfer_in_logs.py", "log_partition/kaufman.py",
               "log_partition/mean_fields.py", "log_partition/restricted_boltzmann.py",
               "log_partition/network_engines.py", "log_partition/curves.py",
               "log_partition/elimination.py", "log_partition/variable_elimination.py",
               "log_partition/planar.py",
               "log_partition/variational.py",
               "network_kernels/heat_bath.py", "network_kernels/clusters.py",
               "network_kernels/block_gibbs.py", "network_kernels/chains.py",
               "network_kernels/lattices.py", "learning.py",
               "network_kernels/moves.py",
               "losses/loss.py",
               "losses/location.py", "losses/margin.py", "losses/scoring.py",
               *(f"concentration/{path.name}" for path in CONCENTRATION)]  # fmt: skip


def top(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path, *, run_time_only: bool = True):
    """Modules that a file imports at its top level, outside TYPE_CHECKING."""
    tree = ast.parse(path.read_text())
    for node in tree.body if run_time_only else ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    own = LEVEL[top(path)]
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "pm_statmech" and len(parts) > 1 and parts[1] in LEVEL:
            assert LEVEL[parts[1]] <= own, f"{path.name} imports {module}, a later layer"


@pytest.mark.parametrize("name", MATHEMATICS)
def test_mathematics_knows_no_pymc(name):
    used = {module.split(".")[0] for module in imports(ROOT / name, run_time_only=False)}
    assert not used & {"pymc", "arviz", "arviz_base", "arviz_stats", "arviz_plots", "xarray"}


@pytest.mark.parametrize("path", sorted((ROOT / "stats").glob("*.py")), ids=lambda p: p.name)
def test_statistics_read_no_model(path):
    assert not {m for m in imports(path, run_time_only=False) if m.split(".")[0] == "pymc"}


def test_internals_of_the_host_libraries_stay_in_one_file_each():
    for needle, home in (
        ("jit_fn", "native_code.py"),
        ("link.numba.cache", "native_code.py"),
        ("model.fgraph", "tempering.py"),
    ):
        users = {p.name for p in FILES if needle in p.read_text()}
        assert users == {home}, needle


def test_files_are_short():
    lengths = [len(path.read_text().splitlines()) for path in FILES]
    assert max(lengths) <= 400
    assert statistics.median(lengths) < 200


def test_no_file_is_named_like_what_it_exports():
    for path in FILES:
        names = {n.name for n in ast.parse(path.read_text()).body
                 if isinstance(n, ast.FunctionDef | ast.ClassDef)}  # fmt: skip
        assert path.stem not in names


@pytest.mark.parametrize(
    "module", [pms, pms.calibration, pms.concentration], ids=lambda m: m.__name__
)
def test_public_names_are_documented_with_examples(module):
    for name in module.__all__:
        item = getattr(module, name)
        assert item.__doc__, name
        if callable(item) and not isinstance(item, type):
            assert ">>>" in item.__doc__, name


@pytest.mark.parametrize("module", [pms.calibration, pms.concentration], ids=lambda m: m.__name__)
def test_every_name_is_on_its_page(module):
    page = (ROOT.parent / "docs" / "api" / f"{module.__name__.split('.')[-1]}.md").read_text()
    for name in module.__all__:
        assert f":: {name}\n" in page, name


def test_version_is_the_projects():
    from importlib.metadata import version

    assert pms.__version__ == version("pm_statmech")
