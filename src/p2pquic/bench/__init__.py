"""What the product costs: CPU, memory and rates, beside a rival where there is one.

    command -> Benchmark (one row) -> repeats -> median and spread -> table

Each benchmark drives production objects; only the wires between them are made up, and where a row
says "processes" not even those. `docs/measurements.md` keeps the figures.
"""
