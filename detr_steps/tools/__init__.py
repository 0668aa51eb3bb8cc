"""What surrounds the nine steps. The tools use the steps; no step imports a tool."""
