"""Where provider formats end: each provider's protocol in, :mod:`scanplane.marketdata` events out."""
