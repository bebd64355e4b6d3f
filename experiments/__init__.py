"""Studies: one command, a comparison of alone, federated and pooled, a report to read."""
