"""Why secure aggregation stops: every refusal has a name, and none of them holds a value of anybody's data."""

from __future__ import annotations

from fedcredit.errors import PolicyRefused


class SecaggRefused(PolicyRefused):
    """Secure aggregation stops here rather than reveal an institution's update: the root of those below."""

    code = "secagg"


class MessageRefused(SecaggRefused):
    """Bytes are not the message that they should be: wrong kind, size, order of entries, or trailing bytes."""

    code = "secagg-message"


class SuiteRefused(SecaggRefused):
    """A message names another version or other algorithms than ours; there is no negotiation to be talked down in."""

    code = "secagg-suite"


class PlanRefused(SecaggRefused):
    """A message belongs to another run, roster, schema or round."""

    code = "secagg-plan"


class KeyRefused(SecaggRefused):
    """Keys are not signed by the pinned identity, do not agree, or come from somebody outside of the roster."""

    code = "secagg-key"


class StageRefused(SecaggRefused):
    """This (round, attempt) is past this stage, or not yet at it: everything in it is done once."""

    code = "secagg-stage"


class TooFewRefused(SecaggRefused):
    """Fewer institutions are left than the threshold or the least cohort; nothing is revealed."""

    code = "secagg-too-few"


class ContextRefused(SecaggRefused):
    """The others were given another model, other settings or another cohort than we were."""

    code = "secagg-context"


class SurvivorsRefused(SecaggRefused):
    """A survivor set is not the one that at least t institutions signed, or not one that we may sign."""

    code = "secagg-survivors"


class DifferencingRefused(SecaggRefused):
    """Another sum was signed over the same model or in the same round: the difference of both could be one update."""

    code = "secagg-differencing"


class SharesRefused(SecaggRefused):
    """A share does not open, or is not the one its dealer committed to."""

    code = "secagg-shares"


class EncodingRefused(SecaggRefused):
    """An update does not fit the fixed-point encoding (NaN, infinite, out of range), or a sum is not one of updates."""

    code = "secagg-encoding"
