"""How hot a posterior of a loss should be, how wide, and what that guarantees."""

from pm_statmech.calibration.adjustment import sandwich
from pm_statmech.calibration.bootstrap_coverage import (
    general_posterior_calibration,
    general_posterior_calibration_joint,
)
from pm_statmech.calibration.bounds import (
    catoni,
    kl_inverse,
    linear,
    maurer_seeger,
    mcallester,
)
from pm_statmech.calibration.certificates import pac_bayes, pac_bayes_finite
from pm_statmech.calibration.coarsening import coarsened, coarsening_curve
from pm_statmech.calibration.comparison import Comparison, compare
from pm_statmech.calibration.fisher_information import fisher_matching
from pm_statmech.calibration.held_out import predictive, predictive_kfold
from pm_statmech.calibration.matching import (
    information_matching,
    information_matching_trace,
    loss_likelihood_bootstrap,
)
from pm_statmech.calibration.power_prior import PowerPrior
from pm_statmech.calibration.repetitions import Repetition, calibrated, refitted
from pm_statmech.calibration.results import Calibration
from pm_statmech.calibration.safe import safe_bayes, safe_bayes_in_model
from pm_statmech.calibration.study import coverage_study
from pm_statmech.calibration.widely_applicable import wbic_beta

__all__ = [
    "Calibration",
    "Comparison",
    "PowerPrior",
    "Repetition",
    "calibrated",
    "catoni",
    "coarsened",
    "coarsening_curve",
    "compare",
    "coverage_study",
    "fisher_matching",
    "general_posterior_calibration",
    "general_posterior_calibration_joint",
    "information_matching",
    "information_matching_trace",
    "kl_inverse",
    "linear",
    "loss_likelihood_bootstrap",
    "maurer_seeger",
    "mcallester",
    "pac_bayes",
    "pac_bayes_finite",
    "predictive",
    "predictive_kfold",
    "refitted",
    "safe_bayes",
    "safe_bayes_in_model",
    "sandwich",
    "wbic_beta",
]
