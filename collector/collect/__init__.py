"""DECIDES: which windows are wanted, when, and what follows from an outcome."""
