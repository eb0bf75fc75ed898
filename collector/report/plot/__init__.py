"""Charts of a profile's history: `chart` reads what is drawn, `terminal` and `image` draw it."""
