"""Named errors and warnings: each says which variable or rung, what was seen, and what to do."""


class PmStatmechError(Exception):
    """Any error this package raises on purpose."""


class LossError(PmStatmechError, ValueError):
    """A loss that cannot be evaluated on this prediction and these observations."""


class ShapeMismatchError(LossError):
    """Observations and prediction whose pointwise loss is not one value an observation."""


class ObservedDataError(LossError):
    """Observed data that are empty, missing, masked or not finite."""


class ImproperScaleError(LossError):
    """A free scale inside a loss whose exp(-beta * loss) cannot be normalised over it."""


class InverseTemperatureError(PmStatmechError, ValueError):
    """A beta that is negative, not finite, or random without a normaliser."""


class PredictionError(PmStatmechError, NotImplementedError):
    """Predictive draws asked of a loss that was not told how to draw."""


class LadderError(PmStatmechError, ValueError):
    """Rungs that are not a strictly increasing ladder of inverse temperatures."""


class TemperedTermError(PmStatmechError, ValueError):
    """No term to temper, or a name in ``tempered=`` that is not one."""


class ImproperPriorError(PmStatmechError, ValueError):
    """A prior without a finite integral, from which beta = 0 cannot be drawn."""


class EnergyError(PmStatmechError, ValueError):
    """An energy that is NaN, or infinite at every prior draw."""


class UnsupportedVariableError(PmStatmechError, NotImplementedError):
    """A model variable that the sampler asked for cannot move."""


class StalledAnnealingError(PmStatmechError, RuntimeError):
    """The pilot could not lower the temperature any further."""


class EvidenceError(PmStatmechError, ValueError):
    """An evidence that these draws cannot give."""


class CalibrationError(PmStatmechError, ValueError):
    """A posterior whose temperature or spread this method cannot calibrate."""


class NetworkError(PmStatmechError, ValueError):
    """A network, its couplings or its data that do not make a distribution, or too large a one."""


class SupportError(PmStatmechError, ValueError):
    """A set that is empty, repeats a state, or that a value or a statistic does not fit."""


class FamilyError(PmStatmechError, ValueError):
    """An exponential family that cannot be normalised or summed, or parameters that are not its."""


class ProjectionError(PmStatmechError, ValueError):
    """Constraints that no distribution on these states meets, or one that the base excludes."""


class CumulantError(PmStatmechError, ValueError):
    """A cumulant that is infinite or unknown, or a mean that no exponential tilt gives."""


class LatticeError(PmStatmechError, ValueError):
    """Values that lie on no lattice, or more states or types than an exact sum takes."""


class TreeError(PmStatmechError, ValueError):
    """A DataTree that lacks what a statistic reads."""


class CheckpointError(PmStatmechError, RuntimeError):
    """A checkpoint that cannot be read, or that another process is writing."""


class CheckpointMismatchError(CheckpointError):
    """A checkpoint of another model, data, seed or arguments."""


class PmStatmechWarning(UserWarning):
    """Any warning this package raises on purpose."""


class DetachedPotentialWarning(PmStatmechWarning):
    """A potential that depends on no free variable, and so changes nothing."""


class ConvergenceWarning(PmStatmechWarning):
    """A run whose numbers should not be believed yet."""


class EvidenceWarning(PmStatmechWarning):
    """Estimates of one evidence that disagree by more than their errors."""


class MixingWarning(UserWarning):
    """Chains of a network's states, or of their parameters, that are too short."""


class PhaseTransitionWarning(PmStatmechWarning):
    """A ladder whose states do not pass between coexisting phases as often as they should."""
