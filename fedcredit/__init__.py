"""The shared library of fedcredit: institutions keep their tables; a model, a judgement and a proof travel."""

import os

__version__ = "0.1.0"

# What libraries read when they are imported. Set here, so that a program, a notebook and a test all have it. Flower's
# own programs import this package late and need it in their environment. A value that is already set stays.
ENVIRONMENT = {
    "FLWR_TELEMETRY_ENABLED": "0",  # nothing about a run leaves the machine
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",  # a federation installs nothing at an institution
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",  # to load a model must not run its author's code
}
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
