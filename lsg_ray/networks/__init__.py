"""Network families: initialise, train many independent networks, draw configurations, evaluate."""
