"""One model on one machine: trained, validated, promoted, asked, challenged, refused, rolled back, sent to a node."""
