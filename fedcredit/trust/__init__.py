"""What happened becomes a proof: who signed what."""
