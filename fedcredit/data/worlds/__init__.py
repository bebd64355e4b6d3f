"""A world file becomes raw tables of all 18 sources, annual reports, a financing market, and the hidden truth apart."""
