"""The public names and where they are: read by type checkers, and when a name is first used."""

from .cluster.sample import sample as sample
from .datasets import load_dataset as load_dataset
from .ensemble.query import query as query
from .ensemble.reader import Ensemble as Ensemble
from .ensemble.reader import open_ensemble as open_ensemble
from .ensemble.verify import verify as verify
from .ising.annealing import anneal_scan as anneal_scan
from .ising.boltzmann import fit_boltzmann as fit_boltzmann
from .ising.dynamics import relax as relax
from .ising.entropy import entropy_scan as entropy_scan
from .ising.isoenergy import iso_energy as iso_energy
from .ising.model import IsingModel as IsingModel
from .ising.model import load_model as load_model
from .ising.model_replicas import draw_replicas as draw_replicas
from .ising.montecarlo import sample_model as sample_model
from .ising.permuted_models import permutation_effect as permutation_effect
from .ising.sk import sk_model as sk_model
from .ising.sk import sk_replicas as sk_replicas
from .ising.tap import tap_states as tap_states
from .ising.thermodynamics import thermodynamics as thermodynamics
from .loss_landscape.comparison import compare_minima as compare_minima
from .loss_landscape.flatness import flatness as flatness
from .loss_landscape.interpolation import interpolate as interpolate
from .loss_landscape.interpolation import swap_barriers as swap_barriers
from .loss_landscape.spherical import spherical_minima as spherical_minima
from .loss_landscape.surface import loss_surface as loss_surface
from .loss_landscape.walks import random_walk as random_walk
from .minima.local_entropy import local_entropy as local_entropy
from .networks.permutations import match_weights as match_weights
from .pipeline import run as run
from .spec import Spec as Spec
from .spec import load_spec as load_spec
from .statistics.clustering import clustering as clustering
from .statistics.distances import distances as distances
from .statistics.hierarchy import flat_clusters as flat_clusters
from .statistics.maps import embed as embed
from .statistics.moments import moments as moments
from .statistics.node_symmetry import canonicalize as canonicalize
from .statistics.node_symmetry import node_symmetry as node_symmetry
from .statistics.node_symmetry import permute as permute
from .statistics.overlaps import overlaps as overlaps
from .statistics.rsb import replica_overlaps as replica_overlaps

__version__: str
