"""What an institution installs, runs and audits."""

import fedcredit  # noqa: F401 - flwr reads its environment when imported, so this comes first
