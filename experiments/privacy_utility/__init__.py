"""What a given epsilon costs, by kind of model and by whose noise it is."""
