"""What the platform runs."""

import fedcredit  # noqa: F401 - flwr reads its environment when imported, so this comes first
