"""What every bench of a running gateway needs: pinned programs, their CPU and memory, load, and tables."""
