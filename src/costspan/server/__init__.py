"""`costspan serve`: takes spans from any program over OTLP, accounts for them, keeps them, and shows them on a local page."""
