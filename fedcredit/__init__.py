"""The shared library of fedcredit: institutions keep their tables; a model, a judgement and a proof travel."""

__version__ = "0.1.0"
