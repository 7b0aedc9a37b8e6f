"""What only the notebooks need: figures, players, widgets, exercise checks, and the runner."""
