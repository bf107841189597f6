"""The analyzer: consumes one partition of a market, keeps its engine, writes boards and signals."""
